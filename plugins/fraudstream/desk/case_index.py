"""An index of the cases of the last weeks, in SQLite in memory, for the queue's filters, orders and counts.

The module doesn't use a Kafka client. Records come in log order within a topic, and in any order between the three
topics. The index keeps each record and computes the columns of its case from all of them, so the order doesn't matter.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream.cases.answers.order import in_log_order
from fraudstream.cases.answers.staff import STAFF
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.events import ASSIGNED, MAIL_RESENT, NOTE, CaseEvent
from fraudstream.cases.history import CaseHistory
from fraudstream.cases.views.case_views import Answer
from fraudstream.desk.event_state import EventState
from fraudstream.desk.queue import STATES, Filter, Queue, QueuedCase
from fraudstream.kafka.records import Partition

_TABLES = """
    CREATE TABLE cases (
        id TEXT PRIMARY KEY, partition INTEGER, "offset" INTEGER, came_at INTEGER, record TEXT,
        amount INTEGER, customer TEXT, type TEXT,
        accepted_at INTEGER, deadline INTEGER,
        state TEXT NOT NULL DEFAULT 'waiting', outcome TEXT, assignee TEXT, request TEXT
    ) WITHOUT ROWID;
    CREATE TABLE answers (
        id TEXT, at INTEGER, partition INTEGER, "offset" INTEGER, record TEXT,
        PRIMARY KEY (id, at, partition, "offset")
    ) WITHOUT ROWID;
    CREATE TABLE events (
        id TEXT, at INTEGER, partition INTEGER, "offset" INTEGER, record TEXT,
        PRIMARY KEY (id, at, partition, "offset")
    ) WITHOUT ROWID;
    CREATE INDEX by_deadline ON cases (state, deadline);
    CREATE INDEX by_amount ON cases (state, amount);
    CREATE INDEX by_customer ON cases (customer);
"""
#: Events that a person may repeat with the same text.
_OF_PEOPLE = {NOTE, ASSIGNED}
_TIMES = ("timestamp", "answeredAt", "at")
_PART = 10**9


@dataclass(frozen=True, slots=True)
class Placed:
    """A record's partition and offset, and its append time in ms since 1970."""

    partition: int
    offset: int
    at: int


@dataclass(frozen=True, slots=True)
class KnownCase:
    """All that is known of one case; `place`, `offset` and `came_at` are those of its transaction's record."""

    place: Partition
    offset: int
    came_at: datetime
    queued: QueuedCase
    history: CaseHistory
    #: Places of the history's events, in the same order.
    event_places: list[Placed]


class CaseIndex:
    """The index of cases; safe to use from any thread.

    :param time_limit: see :mod:`fraudstream.cases.deadlines`
    """

    def __init__(self, time_limit: timedelta) -> None:
        self._limit_ms = int(time_limit.total_seconds() * 1000)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.create_function("time_is_up", 3, deadline, deterministic=True)
        self._db.executescript(_TABLES)

    def close(self) -> None:
        """Closes the database, which releases its memory."""
        with self._lock:
            self._db.close()

    # ---- adds and drops records ----

    def add_case(self, record: Mapping[str, Any], placed: Placed) -> None:
        """Adds a record of fraud_transaction, in offset order. Of two with the same id, the first in the log counts."""
        case = record["idTransaction"]
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO cases (id) VALUES (?)", (case,))
            self._db.execute(
                'UPDATE cases SET partition = ?, "offset" = ?, came_at = ?, record = ?, amount = ?, customer = ?,'
                " type = ?, deadline = time_is_up(?, accepted_at, ?)"
                " WHERE id = ? AND (came_at IS NULL OR came_at > ? AND partition <> ?)",
                (
                    placed.partition,
                    placed.offset,
                    placed.at,
                    _to_text(record),
                    record["amount"],
                    record["nameOrig"],
                    record["type"],
                    placed.at + self._limit_ms,
                    self._limit_ms,
                    case,
                    placed.at,
                    placed.partition,
                ),
            )

    def add_answer(self, record: Mapping[str, Any], placed: Placed) -> None:
        """Adds a record of fraud_confirmation."""
        self._add("answers", record["idTransaction"], record, placed)

    def add_event(self, record: Mapping[str, Any], placed: Placed) -> None:
        """Adds a record of case_event."""
        self._add("events", record["idTransaction"], record, placed)

    def forget(self, kept: timedelta, now: datetime) -> None:
        """Drops cases that came longer ago than `kept`, with their answers and events.

        A case's age is measured from the youngest case, or from `now` if that is earlier: either this machine's clock
        or a broker's may be ahead. A case whose own record isn't read yet, for instance because the registry doesn't
        answer, is as old as its youngest answer or event.
        """
        known = "SELECT id, at FROM answers UNION ALL SELECT id, at FROM events"
        youngest = f"SELECT max(at) FROM ({known}) AS known WHERE known.id = cases.id"
        with self._lock:
            (newest,) = self._db.execute("SELECT max(came_at) FROM cases").fetchone()
            begin = min(_ms(now), newest or 0) - int(kept.total_seconds() * 1000)
            self._db.execute(f"DELETE FROM cases WHERE coalesce(came_at, ({youngest})) < ?", (begin,))
            for table in ("answers", "events"):
                self._db.execute(f"DELETE FROM {table} WHERE id NOT IN (SELECT id FROM cases)")

    def _add(self, table: str, case: str, record: Mapping[str, Any], placed: Placed) -> None:
        with self._lock:
            self._db.execute("INSERT OR IGNORE INTO cases (id) VALUES (?)", (case,))
            self._db.execute(
                f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?, ?)",
                (case, placed.at, placed.partition, placed.offset, _to_text(record)),
            )
            self._work_out(case)

    def _work_out(self, case: str) -> None:
        """Updates the columns of a case that depend on answers and events."""
        history = CaseHistory({}, self._answers(case), [event for event, _ in self._events(case)])
        outcome = history.outcome
        facts = EventState.of(history.events)
        if outcome is not None:
            state = "decided" if outcome.record.get("channel") == STAFF else "answered"
        else:
            state = facts.state
        self._db.execute(
            "UPDATE cases SET state = :state, outcome = :outcome, assignee = :assignee, request = :request,"
            " accepted_at = :accepted_at,"
            " deadline = iif(came_at IS NULL, NULL, time_is_up(came_at + :limit, :accepted_at, :limit)) WHERE id = :id",
            {
                "state": state,
                "outcome": outcome and outcome.status,
                "assignee": facts.assignee,
                "request": facts.request,
                "accepted_at": facts.accepted_at,
                "limit": self._limit_ms,
                "id": case,
            },
        )

    # ---- queries ----

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM cases WHERE came_at IS NOT NULL").fetchone()[0])

    def queue(self, wanted: Filter, now: datetime) -> Queue:
        """Returns one page of the cases that match a filter, their number and amount, and their number by state."""
        where, values = wanted.condition(now)
        columns = "id, came_at, amount, customer, type, deadline, state, outcome, assignee, request"
        states = ", ".join("?" * len(wanted.states))
        with self._lock:
            # Sum in two parts: the sum of a few of the largest amounts exceeds SQLite's 64 bits.
            sums = f"sum(amount / {_PART}), sum(amount % {_PART})"
            sql = f"SELECT state, count(*), {sums} FROM cases WHERE {where} GROUP BY state"
            rows = self._db.execute(sql, values).fetchall()
            found = {state: (count, large * _PART + small) for state, count, large, small in rows}
            rows = self._db.execute(
                f"SELECT {columns} FROM cases WHERE {where} AND state IN ({states})"
                f" ORDER BY {wanted.order}, id LIMIT ? OFFSET ?",
                (*values, *wanted.states, wanted.rows, wanted.first),
            ).fetchall()
        chosen = [found.get(state, (0, 0)) for state in wanted.states]
        counts = {state: found.get(state, (0, 0))[0] for state in STATES}
        return Queue([_queued(row) for row in rows], sum(c for c, _ in chosen), sum(a for _, a in chosen), counts)

    def case(self, case: str) -> KnownCase | None:
        """Returns all that is known of a case; None: no transaction with this id is known."""
        columns = "id, came_at, amount, customer, type, deadline, state, outcome, assignee, request"
        with self._lock:
            row = self._db.execute(
                f'SELECT {columns}, partition, "offset", record FROM cases WHERE id = ? AND came_at IS NOT NULL',
                (case,),
            ).fetchone()
            if row is None:
                return None
            answers, events = self._answers(case), self._events(case)
        partition, offset, record = row[-3:]
        history = CaseHistory(_of_text(record), answers, [event for event, _ in events])
        return KnownCase(
            Partition("fraud_transaction", partition),
            offset,
            _time(row[1]),
            _queued(row[:-3]),
            history,
            [placed for _, placed in events],
        )

    def _answers(self, case: str) -> list[Answer]:
        found = ((_of_text(text), number, offset) for _, number, offset, text in self._rows("answers", case))
        return [Answer(case, row["status"], row["answeredAt"], number, offset, row) for row, number, offset in found]

    def _events(self, case: str) -> list[tuple[CaseEvent, Placed]]:
        """Returns the events of a case, in log order, without those that the pipeline repeated after a crash.

        Events that people repeat are kept, and so are events that a resent notice repeats.
        """
        found: dict[object, tuple[CaseEvent, Placed]] = {}
        resent = 0
        for at, partition, offset, text in self._rows("events", case):
            event = CaseEvent.of(_of_text(text))
            by_people = event.event_type in _OF_PEOPLE
            notice = 0 if "messageId" in event.details else resent
            same = (partition, offset) if by_people else (notice, repr(replace(event, at=_time(0))))
            resent += event.event_type == MAIL_RESENT and same not in found
            found.setdefault(same, (event, Placed(partition, offset, at)))
        return list(found.values())

    def _rows(self, table: str, case: str) -> Iterable[tuple[int, int, int, str]]:
        found = self._db.execute(f'SELECT at, partition, "offset", record FROM {table} WHERE id = ?', (case,))
        return in_log_order(found.fetchall(), lambda row: row[:3])


def _queued(row: tuple[Any, ...]) -> QueuedCase:
    case, came_at, amount, customer, kind, deadline, state, outcome, assignee, request = row
    return QueuedCase(
        case, _time(came_at), amount, customer, kind, _time(deadline), state, outcome, assignee or "", request or ""
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _to_text(record: Mapping[str, Any]) -> str:
    return json.dumps({name: _ms(value) if isinstance(value, datetime) else value for name, value in record.items()})


def _of_text(text: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(text)
    return record | {name: _time(record[name]) for name in _TIMES if record.get(name) is not None}
