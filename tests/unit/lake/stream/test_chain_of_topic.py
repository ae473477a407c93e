"""A chain knows its topic: a recreated topic stops it, and records that retention deleted unread are counted."""

from dataclasses import dataclass

import numpy as np
import pytest
from fraudstream.errors import TopicChanged
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.totals import totals_of

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.chains import DAY, Crash, chain_on
from tests.unit.lake.rows import PARTITION


@dataclass
class Topic:
    """The brokers' information about the topic."""

    identity: str
    first: int = 0

    def id(self, topic):
        return self.identity

    def first_offset(self, partition):
        return self.first

    def end_offset(self, partition):
        return 100


def chain_after_retention():
    """A store with the records of [0, 5) of a topic whose first offset is now 8, and the next reader's chain."""
    store = MemoryStore()
    chain = chain_on(store, Topic("an id"))
    chain.open(PARTITION)
    chain.append(PARTITION, 0, 5, DAY, b"", totals_of(np.array([0])))
    chain.settle()
    chain = chain_on(store, Topic("an id", 8))
    chain.open(PARTITION)
    return store, chain


def test_a_chain_of_a_topic_that_was_deleted_since_is_not_gone_on_with():
    store = MemoryStore()
    chain = chain_on(store, Topic("first id"))
    assert chain.open(PARTITION) is None
    chain.append(PARTITION, 0, 5, DAY, b"", totals_of(np.array([5])))
    assert chain_on(store, Topic("first id")).open(PARTITION) == 5
    with pytest.raises(
        TopicChanged, match=rf"id is second id, .*id first id, up to offset 5.*rebase {PARTITION.topic}"
    ):
        chain_on(store, Topic("second id")).open(PARTITION)


def test_a_chain_that_knows_no_topic_id_learns_it():
    store = MemoryStore()
    before = chain_on(store)
    before.open(PARTITION)
    before.append(PARTITION, 0, 5, DAY, b"", totals_of(np.array([5])))
    chain = chain_on(store, Topic("an id"))
    assert chain.open(PARTITION) == 5
    chain.append(PARTITION, 5, 7, DAY, b"", totals_of(np.array([5])))
    chain.settle()
    with pytest.raises(TopicChanged):
        chain_on(store, Topic("another id")).open(PARTITION)
    assert chain_on(store).open(PARTITION) == 7  # reading alone needs no brokers


def test_offsets_that_were_deleted_before_they_were_read_stay_known():
    store = MemoryStore()
    for first, end in ((3, 5), (5, 7), (20, 22)):
        chain = chain_on(store, Topic("an id", first))
        chain.open(PARTITION)
        chain.append(PARTITION, first, end, DAY, b"", totals_of(np.array([first])))
        chain.settle()
        chain_on(store, Topic("an id", first)).open(PARTITION)  # reads nothing, and counts nothing again
    assert progress.load(store, "transaction", PARTITION).taken == 3 + 0 + 13


def test_offsets_that_were_deleted_unread_are_known_though_the_reader_that_wrote_behind_them_died():
    store, survived = chain_after_retention()

    def crash(operation, name):
        if operation == "replace":
            raise Crash

    store.before = crash
    with pytest.raises(Crash):
        survived.append(PARTITION, 9, 12, DAY, b"", totals_of(np.array([9])))  # offset 8 is a marker
    store.before = lambda operation, name: None
    for _ in range(2):  # two readers adopt the object; the records are counted once
        assert chain_on(store, Topic("an id", 8)).open(PARTITION) == 12
        assert progress.load(store, "transaction", PARTITION).taken == 3


def test_offsets_that_were_deleted_unread_are_kept_with_the_next_object():
    store, chain = chain_after_retention()
    chain.append(PARTITION, 8, 12, DAY, b"", totals_of(np.array([8])))
    assert progress.load(store, "transaction", PARTITION).taken == 3
    assert chain_on(store, Topic("an id", 20)).open(PARTITION) == 12  # was read before retention deleted it


def test_an_object_that_was_read_before_retention_came_so_far_counts_nothing_when_it_is_adopted():
    store = MemoryStore()
    chain = chain_on(store, Topic("an id"))
    chain.open(PARTITION)
    for first, end in ((0, 5), (6, 12)):  # 5 is a marker
        chain.append(PARTITION, first, end, DAY, b"", totals_of(np.array([first])))
    assert chain_on(store, Topic("an id", 10)).open(PARTITION) == 12
    assert progress.load(store, "transaction", PARTITION).taken == 0
