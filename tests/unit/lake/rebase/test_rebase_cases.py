"""Cases of topics that were restored to an earlier state: each fraud is opened, whatever was claimed before.

The names of frauds contain their version: "old" before the restore, "new" for those after the restored topic's ends.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
from fraudstream.cases.opening import CaseSink
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.rebase.rebase import apply_plan, plan
from fraudstream.lake.stream.chain import ObjectChain

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rebase.restored_topic import Topics
from tests.unit.lake.rows import batch, row

BEFORE, AFTER = 6, 8
#: For partitions 0 and 1: the offset of the first new fraud.
Ends = tuple[int, int]


class Crash(Exception):
    """A crash of the process."""


class Airflow:
    """Keeps only the first run with an id."""

    def __init__(self) -> None:
        self.runs: dict[str, list[str]] = {}

    def open_run(self, run_id: str, conf: dict[str, list[dict[str, str]]]) -> None:
        self.runs.setdefault(run_id, [case["idTransaction"] for case in conf["cases"]])

    def opened(self) -> set[str]:
        return {case for cases in self.runs.values() for case in cases}


def cases(kept: Ends, end: int) -> list[list[str]]:
    """The frauds of both partitions."""
    return [[f"{'old' if n < kept[number] else 'new'}-{number}-{n}" for n in range(end)] for number in range(2)]


def read(store: MemoryStore, airflow: Airflow, frauds: list[list[str]], rows: int, owned: Sequence[int]) -> None:
    """A member of the group opens the frauds of its partitions, this many of each at once."""
    chain = ObjectChain(store, "_cases", Topics(ends={0: AFTER, 1: AFTER}))  # type: ignore[arg-type]
    sink = CaseSink(chain, airflow.open_run, time_limit=timedelta(hours=72), wait_seconds=0)
    partitions = {number: Partition(FRAUD_TRANSACTION, number) for number in owned}
    at = {number: sink.assigned(partition, None) for number, partition in partitions.items()}
    while behind := [number for number in owned if at[number] < len(frauds[number])]:
        for number in behind:
            offsets = range(at[number], min(at[number] + rows, len(frauds[number])))
            records = [row(n, idTransaction=frauds[number][n], isFraud=1, type="TRANSFER") for n in offsets]
            sink.write(batch(offsets, rows=records, partition=partitions[number]))
        at |= {partition.number: end for partition, end in sink.flush().items()}


@pytest.mark.parametrize("ends", list(itertools.product([0, 1, 3, 6], repeat=2)))
@pytest.mark.parametrize("rows", [2, 6])
def test_every_fraud_of_a_restored_topic_is_opened_whatever_was_claimed_at_its_offset(rows: int, ends: Ends) -> None:
    """The reader before the restore crashes at any write of claims and progress; one or two readers follow it."""
    for dies_at, readers in itertools.product(range(13), ([[0, 1]], [[0], [1]], [[1], [0]])):
        store, airflow, writes = MemoryStore(), Airflow(), itertools.count()

        def crash(operation: str, name: str, dies_at: int = dies_at, writes: Iterator[int] = writes) -> None:
            if operation in {"create", "replace"} and next(writes) == dies_at:
                raise Crash

        store.before = crash
        with suppress(Crash):
            read(store, airflow, cases((BEFORE, BEFORE), BEFORE), rows, [0, 1])
        store.before = lambda operation, name: None

        topics = Topics(ends=dict(enumerate(ends)))
        found = plan(store, topics, FRAUD_TRANSACTION, lambda partition, end: end)  # type: ignore[arg-type]
        if found:
            apply_plan(store, found)
        frauds = cases(ends, AFTER)
        for owned in readers:
            read(store, airflow, frauds, rows, owned)
        assert airflow.opened() >= set(itertools.chain(*frauds)), (dies_at, readers)
