"""Opens a case for each fraud transaction, in exactly one DAG run, even if any process is killed."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fraudstream import money
from fraudstream.cases.claims import Case, Claims, Part, Plan
from fraudstream.kafka.records import Batch, Partition
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.lines import MONEY
from fraudstream.lake.stream.names import day_of
from fraudstream.lake.stream.totals import totals_of

log = logging.getLogger(__name__)

#: Folder of the lake that remembers which cases each DAG run was opened for; the underscore keeps it from readers.
FOLDER = "_cases"
CASES_PER_RUN = 200
#: How often a wait for a slot checks whether to stop.
_LOOK_SECONDS = 0.2


def case_of(transaction: dict[str, Any], opened_at: datetime, time_limit: timedelta) -> Case:
    """A transaction as JSON for a DAG run's conf: money as decimal text, times as ISO 8601 UTC."""
    case = transaction | {name: money.to_text(transaction[name]) for name in MONEY}
    return case | {
        "timestamp": _iso(transaction["timestamp"]),
        "openedAt": _iso(opened_at),
        "expiresAt": _iso(opened_at + time_limit),
    }


def transaction_of(case: Case) -> dict[str, Any]:
    """Inverse of :func:`case_of`: the transaction with money in minor units and times as datetime."""
    transaction = {name: value for name, value in case.items() if name not in {"openedAt", "expiresAt"}}
    transaction |= {name: money.to_minor(case[name]) for name in MONEY}
    return transaction | {"timestamp": datetime.fromisoformat(case["timestamp"])}


def described(case: Case) -> str:
    """A case in one line, for people."""
    return (
        f"{case['idTransaction']}: {case['type']} of {case['amount']} from {case['nameOrig']} to {case['nameDest']} on "
        f"{case['timestamp']}; waits since {case['openedAt']} for its customer, until {case['expiresAt']} or later"
    )


def run_note(cases: Sequence[Case]) -> str:
    """What a run waits for, in one line: Airflow shows it beside the run.

    A case may wait for longer, since its time limit runs from when its notice is accepted.
    """
    amount = money.shown(sum(money.to_minor(case["amount"]) for case in cases))
    last = max(datetime.fromisoformat(case["expiresAt"]) for case in cases)
    customers = "1 answer" if len(cases) == 1 else f"{len(cases)} answers"
    return (
        f"Waits for {customers} about payments of {amount}, until {last:%Y-%m-%d %H:%M} UTC or later."
        " The page Cases lists them."
    )


@dataclass(frozen=True, slots=True)
class _Fraud:
    offset: int
    timestamp: int
    case: Case


class CaseSink:
    """:class:`~fraudstream.kafka.records.Sink` that opens DAG runs for frauds, up to 200 a run, over all partitions.

    1. make a plan of a run: the first frauds that wait, over all partitions,
    2. claim them, and open the run, or the runs that they turn out to be in: see :mod:`fraudstream.cases.claims`,
    3. move the progress of each partition.

    A crash after any step repeats 2 and 3 with the same frauds and the same run ids.

    Runs are opened no faster than `cases_per_second`: Airflow's scheduler hands cases to the triggerers one by one and
    does nothing else meanwhile, so a replay's thousands at once would keep it from its heartbeat. And since a run that
    waits costs it something for as long as it does, cases that come one by one share runs: see :class:`Budget`.

    :param open_run: opens a DAG run with this id and conf; does nothing when the run is there already
    :param stop: whether the task is to end: what isn't claimed then is left to the next reader
    :param wait_seconds: how long frauds wait for others to share their run, as long as there is budget
    """

    def __init__(
        self,
        chain: ObjectChain,
        open_run: Callable[[str, dict[str, Any]], None],
        *,
        time_limit: timedelta,
        cases_per_second: float = float("inf"),
        stop: Callable[[], bool] = lambda: False,
        wait_seconds: float = 2.0,
    ) -> None:
        self._chain = chain
        self._claims = Claims(chain.store, FOLDER, open_run)
        self._time_limit = time_limit
        self._seconds_per_case = 1 / cases_per_second
        self._stop = stop
        self._wait_seconds = wait_seconds
        self._budget = Budget()
        self._waiting: dict[Partition, list[_Fraud]] = {}
        self._read_to: dict[Partition, int] = {}
        #: Where the chain of each partition ends.
        self._ends: dict[Partition, int] = {}
        self._oldest: float | None = None
        self._next_at = 0.0

    def assigned(self, partition: Partition, committed: int | None) -> int:
        """The end of what was opened for a partition; 0 where nothing was."""
        self._waiting.pop(partition, None)
        self._ends[partition] = self._read_to[partition] = self._chain.open(partition) or 0
        return self._ends[partition]

    def write(self, batch: Batch) -> None:
        """Takes frauds; they wait for :meth:`flush`."""
        rows, offsets, timestamps = batch.rows.to_pylist(), batch.offsets.tolist(), batch.timestamps.tolist()
        now = time.time()
        # One of the future is from a broker whose clock was ahead: its case would wait that much longer.
        self._waiting.setdefault(batch.partition, []).extend(
            _Fraud(offset, timestamp, case_of(row, _moment(min(timestamp / 1000, now)), self._time_limit))
            for row, offset, timestamp in zip(rows, offsets, timestamps, strict=True)
        )
        self._read_to[batch.partition] = batch.next_offset
        if self._oldest is None:
            self._oldest = time.monotonic()

    def due(self) -> bool:
        """Once a run is full, or the oldest fraud waited long enough and the budget has a run left."""
        if self._oldest is None:
            return False
        full = sum(map(len, self._waiting.values())) >= CASES_PER_RUN
        return full or (time.monotonic() - self._oldest >= self._wait_seconds and self._budget.left())

    def flush(self) -> dict[Partition, int]:
        """Opens runs for all frauds that wait; when it is to stop, for those whose turn it is now."""
        self._oldest = None
        while (plan := self._plan()) and self._wait_for_slot():
            self._open(plan)
        done = {}
        for partition in list(self._waiting):
            if self._waiting[partition]:
                done[partition] = self._ends[partition]
            else:
                del self._waiting[partition]
                done[partition] = max(self._ends[partition], self._read_to[partition])
        return done

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets frauds of partitions that another reader opens now."""
        for partition in partitions:
            for state in (self._waiting, self._read_to, self._ends):
                state.pop(partition, None)
            self._chain.forget(partition)

    def close(self) -> None:
        """Nothing is held."""

    def _plan(self) -> Plan | None:
        """A run of the first frauds of each partition that aren't in a run yet."""
        parts, room = [], CASES_PER_RUN
        for partition, frauds in self._waiting.items():
            frauds[:] = [fraud for fraud in frauds if fraud.offset >= self._ends[partition]]
            mine = frauds[:room]
            if mine:
                totals = totals_of(np.array([fraud.offset for fraud in mine]))
                link = Link(partition, self._ends[partition], mine[0].offset, mine[-1].offset + 1, totals)
                parts.append(Part(link, day_of(mine[0].timestamp), tuple(fraud.case for fraud in mine)))
                room -= len(mine)
        return Plan(tuple(parts)) if parts else None

    def _wait_for_slot(self) -> bool:
        """Waits until the next run may be opened; False when it is to stop instead."""
        while (left := self._next_at - time.monotonic()) > 0:
            if self._stop():
                return False
            time.sleep(min(left, _LOOK_SECONDS))
        return True

    def _open(self, plan: Plan) -> None:
        count = sum(len(part.cases) for part in plan.parts)
        ends = self._claims.open(plan)
        self._next_at = time.monotonic() + count * self._seconds_per_case
        if count < CASES_PER_RUN:
            self._budget.take()
        for partition, end in ends.items():
            self._ends[partition] = end
            self._chain.advance(partition, end)
        log.info("run %s: %d cases opened, of %s", plan.run_id, count, ", ".join(map(str, ends)))


class Budget:
    """How many runs that aren't full may be opened: ten at once, and one more every 30 s.

    Cases wait up to 72 hours, and their runs with them: at a run every two seconds that would be 130,000 that the
    scheduler looks at again and again. So it is 9,400, with a consumer that restarts each hour.
    """

    _MOST, _SECONDS_EACH = 10.0, 30.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._at = self._MOST, clock()

    def left(self) -> bool:
        """Whether there is one."""
        now = self._clock()
        self._left, self._at = min(self._MOST, self._left + (now - self._at) / self._SECONDS_EACH), now
        return self._left >= 1

    def take(self) -> None:
        """Uses one, even if none is left: a consumer that ends still opens runs for its waiting frauds."""
        self.left()
        self._left = max(0.0, self._left - 1)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
