"""Fraud transactions to waiting cases: each fraud is in exactly one DAG run, whatever is killed when."""

import gzip
import json
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fraudstream import money
from fraudstream.errors import LakeError
from fraudstream.kafka.records import Batch, Partition
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.lake.stream.lines import MONEY
from fraudstream.lake.stream.names import day_of, object_name
from fraudstream.lake.stream.totals import totals_of

log = logging.getLogger(__name__)

#: Folder of the lake that remembers which cases each DAG run was opened for; the underscore keeps it from readers.
FOLDER = "_cases"
CASES_PER_RUN = 200
#: How often one that waits for its turn looks whether it is to stop.
_LOOK_SECONDS = 0.2

Case = dict[str, Any]


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
        f"{case['timestamp']}; waits since {case['openedAt']} for its customer, until {case['expiresAt']}"
    )


class CaseSink:
    """:class:`~fraudstream.kafka.records.Sink` that opens a DAG run for up to 200 frauds of a partition.

    1. claim the frauds with an object that holds them, under the name of the first one's offset,
    2. where somebody claimed that offset before: take over what they claimed,
    3. open the run; its id is made of topic, partition and offsets, so that a second time opens nothing,
    4. move the partition's progress.

    A crash after any step repeats 2 to 4 with the same frauds and the same run id.

    Runs are opened no faster than `cases_per_second`: Airflow's scheduler hands cases to the triggerers one by one and
    does nothing else meanwhile, so a replay's thousands at once would keep it from its heartbeat.

    :param open_run: opens a DAG run with this id and conf; does nothing when the run is there already
    :param stop: whether the task is to end: what isn't claimed then is left to the next reader
    :param wait_seconds: how long frauds may wait for others to share their run
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
        self._open_run = open_run
        self._time_limit = time_limit
        self._seconds_per_case = 1 / cases_per_second
        self._stop = stop
        self._wait_seconds = wait_seconds
        self._waiting: dict[Partition, list[Batch]] = {}
        self._durable: dict[Partition, int] = {}
        self._oldest: float | None = None
        self._next_at = 0.0

    def assigned(self, partition: Partition, committed: int | None) -> int:
        """The end of what was opened for a partition; 0 where nothing was."""
        self._waiting.pop(partition, None)
        self._durable[partition] = self._chain.open(partition) or 0
        return self._durable[partition]

    def write(self, batch: Batch) -> None:
        """Takes frauds; they wait for :meth:`flush`."""
        self._waiting.setdefault(batch.partition, []).append(batch)
        if self._oldest is None:
            self._oldest = time.monotonic()

    def due(self) -> bool:
        """Once the oldest fraud waited long enough, or a run is full."""
        return self._oldest is not None and (
            time.monotonic() - self._oldest >= self._wait_seconds
            or any(sum(map(len, batches)) >= CASES_PER_RUN for batches in self._waiting.values())
        )

    def flush(self) -> dict[Partition, int]:
        """Opens runs for all frauds that wait; when it is to stop, for those whose turn it is now."""
        waiting, self._waiting, self._oldest = self._waiting, {}, None
        for partition, batches in waiting.items():
            for batch in batches:
                while len(rest := batch.since(self._durable[partition])):
                    if not self._turn():
                        return {partition: self._durable[partition] for partition in waiting}
                    self._durable[partition] = self._open(rest)
                self._durable[partition] = max(self._durable[partition], batch.next_offset)
        return {partition: self._durable[partition] for partition in waiting}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets frauds of partitions that another reader opens now."""
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._durable.pop(partition, None)
            self._chain.forget(partition)

    def close(self) -> None:
        """Nothing is held."""

    def _turn(self) -> bool:
        """Waits until the next run may be opened; False when it is to stop instead."""
        while (left := self._next_at - time.monotonic()) > 0:
            if self._stop():
                return False
            time.sleep(min(left, _LOOK_SECONDS))
        return True

    def _open(self, batch: Batch) -> int:
        """Opens one run for the first frauds of a batch and returns the offset after them."""
        partition = batch.partition
        size = min(len(batch), CASES_PER_RUN)
        cases = [
            case_of(row, datetime.fromtimestamp(timestamp / 1000, UTC), self._time_limit)
            for row, timestamp in zip(batch.rows.slice(0, size).to_pylist(), batch.timestamps.tolist(), strict=False)
        ]
        first = int(batch.offsets[0])
        wanted = int(batch.offsets[size - 1]) + 1
        day = day_of(int(batch.timestamps[0]))
        # 1. claim
        body = gzip.compress("".join(json.dumps(case) + "\n" for case in cases).encode(), mtime=0)
        end = self._chain.claim(partition, first, wanted, day, body, totals_of(batch.offsets[:size]))
        # 2. take over
        if end != wanted:
            cases = self._claimed(object_name(FOLDER, day, *partition, first))
        # 3. open the run
        self._open_run(f"{partition.topic}-{partition.number}-{first}-{end}", {"cases": cases})
        self._next_at = time.monotonic() + len(cases) * self._seconds_per_case
        # 4. move on
        self._chain.advance(partition, end)
        log.info("%s offsets %d to %d: %d cases opened", partition, first, end, len(cases))
        return end

    def _claimed(self, name: str) -> list[Case]:
        found = self._chain.store.get(name)
        if found is None:
            raise LakeError(f"object {name} was there a moment ago and is gone: somebody removes objects of {FOLDER}/")
        return [json.loads(line) for line in gzip.decompress(found.data).splitlines()]


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
