"""What retention deleted unread, by partition: from the offset at which the partition's folder starts."""

from types import SimpleNamespace

import pytest
from fraudstream.kafka.records import Partition
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.retention import Unread, unread

from tests.fakes.memory_store import MemoryStore

TOPIC = "non_fraud_transaction"
PARTITION = Partition(TOPIC, 0)


@pytest.mark.parametrize(
    ("before", "next_unread", "first", "taken"), [(0, 5, 5, 0), (0, 5, 4, 0), (0, 5, 6, 1), (3, 5, 5, 3), (3, 5, 7, 5)]
)
def test_it_is_what_lay_between_the_chain_and_the_first_record_that_is_there(
    before: int, next_unread: int, first: int, taken: int
) -> None:
    assert Unread(names.TRANSACTIONS, PARTITION, next_unread, first, before).taken == taken


@pytest.mark.parametrize(
    ("end", "committed", "first", "taken"),
    [
        (None, None, 0, 0),  # nothing was written, nothing is missing
        (None, None, 4, 4),
        (None, 4, 4, 0),  # all of them were dead letters
        (7, None, 9, 2),
        (7, 8, 9, 1),
        (7, 3, 9, 2),
    ],
)
def test_the_group_may_have_passed_over_what_lies_behind_the_chain(
    end: int | None, committed: int | None, first: int, taken: int
) -> None:
    store = MemoryStore()
    if end is not None:
        progress.save(store, names.TRANSACTIONS, PARTITION, Progress(end, 0))
    topics = SimpleNamespace(partitions=lambda topic: [PARTITION], first_offset=lambda partition: first)
    known = None if committed is None else {PARTITION: committed}
    (found,) = unread(store, topics, names.TRANSACTIONS, TOPIC, known)  # type: ignore[arg-type]
    assert (found.partition, found.taken) == (PARTITION, taken)


def test_what_was_taken_earlier_is_still_told() -> None:
    store = MemoryStore()
    progress.save(store, names.TRANSACTIONS, PARTITION, Progress(7, 0, "an id", taken=3))
    topics = SimpleNamespace(partitions=lambda topic: [PARTITION], first_offset=lambda partition: 0)
    (found,) = unread(store, topics, names.TRANSACTIONS, TOPIC)  # type: ignore[arg-type]
    assert (found.next_unread, found.taken_before, found.taken) == (7, 3, 3)
