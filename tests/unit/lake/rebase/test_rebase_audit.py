"""After a rebase the audit also compares the new records, although it has seen others at the same offsets."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from fraudstream.kafka.records import CASE_EVENT, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake import __main__ as command_line
from fraudstream.lake.audit import position
from fraudstream.lake.audit.position import Position
from fraudstream.lake.rebase import command as rebase_command
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.lake.stream.progress import Progress

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore

FIRST, SECOND = Partition(NON_FRAUD_TRANSACTION, 0), Partition(NON_FRAUD_TRANSACTION, 1)
IDS = {NON_FRAUD_TRANSACTION: "id", CASE_EVENT: "id", position.NOTICES: "id"}


def test_it_begins_where_a_truncated_topic_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    for partition in (FIRST, SECOND):
        progress.save(store, TRANSACTIONS, partition, Progress(10, 0, "id"))
    position.save(store, Position({FIRST: 10, SECOND: 10}, IDS), datetime.now(UTC))
    topics = SimpleNamespace(
        id=lambda topic: "id",
        partitions=lambda topic: [FIRST, SECOND],
        end_offset={FIRST: 6, SECOND: 12}.__getitem__,
    )
    monkeypatch.setattr(rebase_command, "Topics", lambda settings: topics)
    monkeypatch.setattr(rebase_command, "_require_at_rest", lambda settings, topic: None)
    monkeypatch.setattr(rebase_command, "agreement", lambda settings, lake, partition, end: end)
    monkeypatch.setattr(command_line.Lake, "connect", lambda settings, bucket: new_lake(store))
    assert command_line.main(["rebase", NON_FRAUD_TRANSACTION]) == 0
    assert position.load(store).since(IDS) == {FIRST: 10, SECOND: 10}
    assert command_line.main(["rebase", NON_FRAUD_TRANSACTION, "--yes"]) == 0
    assert position.load(store).since(IDS) == {FIRST: 6, SECOND: 10}


def test_notices_that_did_not_arrive_are_counted_again_from_there_too() -> None:
    store, events, notices = MemoryStore(), Partition(CASE_EVENT, 0), Partition(position.NOTICES, 0)
    position.save(store, Position({events: 8, notices: 9}, IDS), datetime.now(UTC))
    position.rewind(store, {events: 5})
    assert position.load(store).since(IDS) == {events: 5, notices: 5}
