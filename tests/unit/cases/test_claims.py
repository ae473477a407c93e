"""A run that was claimed before keeps the times of its claims, whichever process opens it."""

from datetime import timedelta

import pytest
from fraudstream.cases.claims import Case, claimed_on
from fraudstream.cases.opening import FOLDER, CaseSink
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.lake.stream.names import day_of

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import MIDNIGHT_MS, batch, row

PARTITIONS = [Partition(FRAUD_TRANSACTION, number) for number in (2, 5)]


class Crash(Exception):
    """A crash of the process."""


def read(store: MemoryStore, opened: list[Case], partitions: list[Partition], time_limit: timedelta) -> None:
    """Opens all frauds of the partitions, in one run."""
    sink = CaseSink(ObjectChain(store, FOLDER), lambda _, conf: opened.extend(conf["cases"]), time_limit=time_limit)
    for partition in partitions:
        sink.assigned(partition, None)
        records = [row(n, idTransaction=f"tx-{partition.number}-{n}", isFraud=1, type="TRANSFER") for n in range(2)]
        sink.write(batch(range(2), rows=records, partition=partition))
    sink.flush()


def dies_after(store: MemoryStore, claims: int, partitions: list[Partition], time_limit: timedelta) -> None:
    """A reader that crashes after this many claims."""

    def dies(operation: str, name: str) -> None:
        if len([name for name in store.objects if name.startswith(FOLDER)]) == claims:
            raise Crash

    store.after = dies
    with pytest.raises(Crash):
        read(store, [], partitions, time_limit)
    store.after = lambda operation, name: None


def claimed(store: MemoryStore) -> dict[str, Case]:
    return claimed_on(store, FOLDER, day_of(MIDNIGHT_MS))


@pytest.mark.parametrize("claims", [1, 2])
def test_a_run_that_was_claimed_and_not_opened_is_opened_as_it_was_claimed(claims: int) -> None:
    """The time limit was changed in between."""
    store, opened = MemoryStore(), list[Case]()
    dies_after(store, claims, PARTITIONS, timedelta(hours=72))
    read(store, opened, PARTITIONS, timedelta(hours=1))
    assert {case["expiresAt"] for case in opened} == {"2023-10-10T00:00:00.000Z"}
    assert claimed(store) == {case["idTransaction"]: case for case in opened}


def test_a_case_has_the_times_of_the_run_that_it_is_in_not_those_of_another_plan() -> None:
    store, opened = MemoryStore(), list[Case]()
    dies_after(store, 1, PARTITIONS[:1], timedelta(hours=72))
    read(store, opened, PARTITIONS, timedelta(hours=1))
    assert len(opened) == 4
    assert {case["expiresAt"] for case in opened} == {"2023-10-10T00:00:00.000Z", "2023-10-07T01:00:00.000Z"}
    assert claimed(store) == {case["idTransaction"]: case for case in opened}
