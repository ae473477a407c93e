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
from fraudstream.kafka.avro.codec import fitted
from fraudstream.kafka.records import FRAUD_TRANSACTION, Batch, Partition
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.lines import MONEY
from fraudstream.lake.stream.names import day_of
from fraudstream.lake.stream.totals import totals_of

log = logging.getLogger(__name__)

#: Folder of the lake for the claims, which say which cases each DAG run has. Readers skip it for its underscore.
FOLDER = "_cases"
CASES_PER_RUN = 200
#: Seconds between two checks whether to stop, while waiting for a slot.
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
    """Inverse of :func:`case_of`: the transaction with money in minor units and times as datetime.

    A case that another version of the pipeline opened may lack fields of the schema, or have more.
    """
    transaction = fitted(FRAUD_TRANSACTION, case) | {name: money.to_minor(case[name]) for name in MONEY}
    return transaction | {"timestamp": datetime.fromisoformat(case["timestamp"])}


def described(case: Case) -> str:
    """A case in one line, for people."""
    return (
        f"{case['idTransaction']}: {case['type']} of {case['amount']} from {case['nameOrig']} to {case['nameDest']} on "
        f"{case['timestamp']}; waits since {case['openedAt']} for its customer, until {case['expiresAt']} or later"
    )


def run_note(cases: Sequence[Case]) -> str:
    """The note of a DAG run, which Airflow shows beside it: one line that says what the run waits for.

    A case may wait longer than the note says, since its time limit starts when its notice is accepted.
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

    1. plan a run: the first waiting frauds of all partitions,
    2. claim them, and open the run, or the runs that they belong to already: see :mod:`fraudstream.cases.claims`,
    3. advance the progress of each partition.

    After a crash at any step, steps 2 and 3 are repeated with the same frauds and the same run ids.

    Cases are opened no faster than `cases_per_second`: Airflow's scheduler passes them to the triggerers one by one and
    does nothing else meanwhile, so a replay's thousands at once would delay its heartbeat. A run also costs the
    scheduler time for as long as it waits, so cases that come one by one share runs: see :class:`Budget`.

    :param open_run: opens a DAG run with this id and conf; does nothing if the run exists already
    :param stop: whether the task is to end; frauds that aren't claimed by then are left to the next reader
    :param wait_seconds: how long a fraud waits for others that share its run; longer if the budget has no run left
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
        #: The end offset of each partition's chain.
        self._ends: dict[Partition, int] = {}
        self._oldest: float | None = None
        self._next_at = 0.0

    def assigned(self, partition: Partition, committed: int | None) -> int:
        """Returns the offset up to which a partition's cases are opened; 0 if none is."""
        self._waiting.pop(partition, None)
        self._ends[partition] = self._read_to[partition] = self._chain.open(partition) or 0
        return self._ends[partition]

    def write(self, batch: Batch) -> None:
        """Keeps frauds until :meth:`flush`."""
        rows, offsets, timestamps = batch.rows.to_pylist(), batch.offsets.tolist(), batch.timestamps.tolist()
        now = time.time()
        # A timestamp in the future is from a broker whose clock was ahead: with it, the case would wait longer.
        self._waiting.setdefault(batch.partition, []).extend(
            _Fraud(offset, timestamp, case_of(row, _moment(min(timestamp / 1000, now)), self._time_limit))
            for row, offset, timestamp in zip(rows, offsets, timestamps, strict=True)
        )
        self._read_to[batch.partition] = batch.next_offset
        if self._oldest is None:
            self._oldest = time.monotonic()

    def due(self) -> bool:
        """Whether a run is full, or the oldest fraud has waited long enough and the budget has a run left."""
        if self._oldest is None:
            return False
        full = sum(map(len, self._waiting.values())) >= CASES_PER_RUN
        return full or (time.monotonic() - self._oldest >= self._wait_seconds and self._budget.left())

    def flush(self) -> dict[Partition, int]:
        """Opens runs for all waiting frauds; if the task is to stop, only until a run would have to wait for a slot."""
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
        """Drops the waiting frauds of these partitions: another reader opens their cases."""
        for partition in partitions:
            for state in (self._waiting, self._read_to, self._ends):
                state.pop(partition, None)
            self._chain.forget(partition)

    def close(self) -> None:
        """Does nothing: the sink has no resources to release."""

    def _plan(self) -> Plan | None:
        """Plans a run of the first frauds of each partition that aren't in a run yet; None: there are none."""
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
        """Waits until the next run may be opened; False if the task is to stop before that."""
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
    """Limits the number of runs that aren't full: ten at once, and one more every 30 s.

    Runs wait as long as their cases, up to 72 hours. A run every two seconds would add up to 130,000 runs, all of which
    the scheduler checks again and again. The budget limits them to 9,400, even if the consumer restarts each hour.
    """

    _MOST, _SECONDS_EACH = 10.0, 30.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._at = self._MOST, clock()

    def left(self) -> bool:
        """Whether a run is left."""
        now = self._clock()
        self._left, self._at = min(self._MOST, self._left + (now - self._at) / self._SECONDS_EACH), now
        return self._left >= 1

    def take(self) -> None:
        """Uses a run, even if none is left: a consumer that ends still opens runs for its waiting frauds."""
        self.left()
        self._left = max(0.0, self._left - 1)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
