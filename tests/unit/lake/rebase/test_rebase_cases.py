"""Cases of topics that were restored to an earlier state: whatever was claimed before, each fraud is opened.

Records of the topic are named after a version, "old" before the restore, "new" behind its end after it.
"""

import itertools
from contextlib import suppress
from datetime import timedelta

import pytest
from fraudstream.cases.opening import CaseSink
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.rebase.rebase import apply_plan, plan
from fraudstream.lake.stream.chain import ObjectChain

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rebase.test_rebase import Topics
from tests.unit.lake.rows import batch, row

PARTITION = Partition(FRAUD_TRANSACTION, 3)


class Crash(Exception):
    """The process dies here."""


class Airflow:
    """Keeps the first run of an id."""

    def __init__(self) -> None:
        self.runs: dict[str, list[str]] = {}

    def open_run(self, run_id: str, conf: dict[str, list[dict[str, str]]]) -> None:
        self.runs.setdefault(run_id, [case["idTransaction"] for case in conf["cases"]])

    def opened(self) -> set[str]:
        return {case for cases in self.runs.values() for case in cases}


def cases(kept: int, end: int) -> list[str]:
    return [f"{'old' if offset < kept else 'new'}-{offset}" for offset in range(end)]


def opened(store: MemoryStore, topics: Topics, airflow: Airflow, ids: list[str], rows: int) -> None:
    """The topic's frauds are opened, so many at once."""
    chain = ObjectChain(store, "_cases", topics)  # type: ignore[arg-type]
    sink = CaseSink(chain, airflow.open_run, time_limit=timedelta(hours=72), wait_seconds=0)
    for start in range(sink.assigned(PARTITION, None), len(ids), rows):
        offsets = range(start, min(start + rows, len(ids)))
        records = [row(offset, idTransaction=ids[offset], isFraud=1, type="TRANSFER") for offset in offsets]
        sink.write(batch(offsets, rows=records, partition=PARTITION))
        sink.flush()


@pytest.mark.parametrize("rows", [2, 3, 10])
@pytest.mark.parametrize("dies_before", [0, 3, None])
@pytest.mark.parametrize("end", [0, 1, 4, 5, 9])
def test_every_fraud_of_a_restored_topic_is_opened_whatever_was_claimed_at_its_offset(
    rows: int, dies_before: int | None, end: int
) -> None:
    """The reader before the restore may die between a claim and the progress, which it moves so many times."""
    store, airflow = MemoryStore(), Airflow()
    moves = itertools.count()

    def crash(operation: str, name: str) -> None:
        if operation == "replace" and next(moves) == dies_before:
            raise Crash

    store.before = crash
    with suppress(Crash):
        opened(store, Topics(), airflow, cases(10, 10), rows)
    store.before = lambda operation, name: None

    restored = Topics(ends={3: end})
    apply_plan(store, plan(store, restored, FRAUD_TRANSACTION, lambda partition, end: end))  # type: ignore[arg-type]
    opened(store, Topics(), airflow, cases(end, 10), rows)
    assert airflow.opened() >= set(cases(end, 10))
