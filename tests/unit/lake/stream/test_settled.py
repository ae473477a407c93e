"""Which objects of a chain will not be written again."""

from datetime import date, timedelta

import pytest
from fraudstream.errors import ProofFailed
from fraudstream.lake.stream.settled import settled_objects

from tests.fakes.memory_store import MemoryStore
from tests.fakes.settled import settle
from tests.unit.lake.filled_day import DAY, FOLDER, OTHER, put
from tests.unit.lake.rows import PARTITION


def ranges(store, since=None, before=None):
    return {
        partition: [(one.link.start, one.link.end) for one in objects]
        for partition, objects in settled_objects(store, FOLDER, since or {}, before=before).items()
    }


@pytest.fixture
def store():
    """Four objects of one topic-partition, the last one of the next day, and an object of another partition."""
    store = MemoryStore()
    for start, end in ((0, 4), (4, 5), (5, 9)):
        put(store, start, end)
    put(store, 9, 12, day=DAY + timedelta(days=1))
    put(store, 0, 2, OTHER)
    return store


def test_they_follow_each_other_up_to_the_progress(store):
    assert ranges(store) == {OTHER: [(0, 2)], PARTITION: [(0, 4), (4, 5), (5, 9), (9, 12)]}


def test_an_object_behind_the_progress_is_left_out(store):
    progress = f"_progress/{FOLDER}/{PARTITION.topic}-3.json"
    del store.objects[progress]
    settle(store, FOLDER, PARTITION, 5)
    assert ranges(store)[PARTITION] == [(0, 4), (4, 5)]


def test_a_partition_without_progress_has_none(store):
    del store.objects[f"_progress/{FOLDER}/{OTHER.topic}-0.json"]
    assert OTHER not in ranges(store)


def test_what_was_taken_before_and_days_that_are_open_are_left_out(store):
    assert ranges(store, since={PARTITION: 4, OTHER: 2}, before=date(2023, 10, 8)) == {
        OTHER: [],
        PARTITION: [(4, 5), (5, 9)],
    }


def test_a_zombie_s_object_under_a_name_that_was_compacted_is_left_out(store):
    store.objects.pop(f"{FOLDER}/dt=2023-10-07/{PARTITION.topic}-3-{4:020d}.json.gz")
    put(store, 4, 11)
    assert ranges(store, since={PARTITION: 5})[PARTITION] == [(5, 9), (9, 12)]


def test_a_missing_object_is_named(store):
    del store.objects[f"{FOLDER}/dt=2023-10-07/{PARTITION.topic}-3-{4:020d}.json.gz"]
    with pytest.raises(ProofFailed, match=r"no object of non_fraud_transaction\[3\] starts at offset 4.* on to 12"):
        ranges(store)
    with pytest.raises(ProofFailed, match="found no object there"):
        settle(store, FOLDER, OTHER, 7)
        ranges(store, since={PARTITION: 5})


def test_two_objects_that_overlap_are_named(store):
    put(store, 3, 5)
    with pytest.raises(ProofFailed, match="starts at offset 4"):
        ranges(store)
