"""A run that was claimed before has the times of its claims, whoever opens it."""

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
    """The process dies here."""


@pytest.mark.parametrize("claims", [1, 2])
def test_a_run_that_was_claimed_and_not_opened_is_opened_as_it_was_claimed(claims: int) -> None:
    """The reader before dies behind so many claims; meanwhile the time limit was changed."""
    store = MemoryStore()
    opened: list[Case] = []

    def dies(operation: str, name: str) -> None:
        if len([name for name in store.objects if name.startswith(FOLDER)]) == claims:
            raise Crash

    def read(time_limit: timedelta) -> None:
        sink = CaseSink(ObjectChain(store, FOLDER), lambda _, conf: opened.extend(conf["cases"]), time_limit=time_limit)
        for partition in PARTITIONS:
            sink.assigned(partition, None)
            records = [row(n, idTransaction=f"tx-{partition.number}-{n}", isFraud=1, type="TRANSFER") for n in range(2)]
            sink.write(batch(range(2), rows=records, partition=partition))
        sink.flush()

    store.after = dies
    with pytest.raises(Crash):
        read(timedelta(hours=72))
    store.after = lambda operation, name: None
    read(timedelta(hours=1))
    assert {case["expiresAt"] for case in opened} == {"2023-10-10T00:00:00.000Z"}
    assert claimed_on(store, FOLDER, day_of(MIDNIGHT_MS)) == {case["idTransaction"]: case for case in opened}
