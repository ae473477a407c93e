"""The progress object: read back as written, moved by one writer at a time, refused if it is unreadable."""

from datetime import date

import pytest
from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import JSON
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import Totals

from tests.fakes.memory_store import MemoryStore

FOLDER = names.TRANSACTIONS
PARTITION = Partition("non_fraud_transaction", 3)
DAY = date(2026, 1, 31)
NAME = names.progress_name(FOLDER, *PARTITION)


@pytest.mark.parametrize(
    "written",
    [
        Progress(0, 0),
        Progress(7, 0, "an id"),
        Progress(7, 0, "an id", taken=3, day=date(2026, 1, 31)),
        Progress(2**62, 0, None, taken=1),
    ],
)
def test_it_is_read_back_as_it_was_written(written: Progress) -> None:
    store = MemoryStore()
    saved = progress.save(store, FOLDER, PARTITION, written)
    assert saved is not None
    assert saved.generation > 0
    assert progress.load(store, FOLDER, PARTITION) == saved
    assert (saved.end, saved.topic_id, saved.taken, saved.day) == (
        written.end,
        written.topic_id,
        written.taken,
        written.day,
    )


def test_nothing_was_written_before() -> None:
    assert progress.load(MemoryStore(), FOLDER, PARTITION) is None
    assert progress.every(MemoryStore(), FOLDER) == {}


def test_of_two_that_move_it_from_the_same_place_one_does() -> None:
    store = MemoryStore()
    there = progress.save(store, FOLDER, PARTITION, Progress(5, 0))
    assert there is not None
    assert progress.save(store, FOLDER, PARTITION, Progress(9, there.generation)) is not None
    assert progress.save(store, FOLDER, PARTITION, Progress(8, there.generation)) is None
    assert progress.save(store, FOLDER, PARTITION, Progress(1, 0)) is None
    assert progress.ends(store, FOLDER) == {PARTITION: 9}


def test_a_folder_has_those_of_its_own_partitions() -> None:
    store = MemoryStore()
    progress.save(store, FOLDER, PARTITION, Progress(5, 0))
    progress.save(store, FOLDER, Partition("other", 0), Progress(0, 0))
    progress.save(store, names.MAILS, PARTITION, Progress(7, 0))
    store.create(f"{names.progress_prefix(FOLDER)}notes.txt", b"by hand", content_type=JSON, metadata={})
    assert progress.ends(store, FOLDER) == {PARTITION: 5, Partition("other", 0): 0}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"{}", b'{"end": "x"}', b'{"end": null}', b'{"end": 1, "day": 7}']
)
def test_one_that_is_unreadable_is_named_with_what_to_do(content: bytes) -> None:
    store = MemoryStore()
    store.create(NAME, content, content_type=JSON, metadata={})
    with pytest.raises(LakeError, match=rf"progress object {NAME} is unreadable .*: delete it"):
        progress.load(store, FOLDER, PARTITION)


def test_where_it_is_lost_the_chain_s_last_object_is_gone_through_again() -> None:
    """For sinks whose work on an object is done only when the progress moves: it may not be done yet."""
    store = MemoryStore()
    for partition, ends in ((PARTITION, (4, 7)), (Partition("other", 0), (90,))):
        chain = ObjectChain(store, FOLDER)
        start = chain.open(partition) or 0
        for end in ends:
            chain.advance(partition, chain.claim(partition, start, end, DAY, b"", Totals(end - start)).end)
            start = end
    store.create(f"{FOLDER}/notes.txt", b"by hand", content_type=JSON, metadata={})
    there = store.look_up(NAME)
    assert there is not None
    store.delete(NAME, there.generation)
    assert ObjectChain(store, FOLDER).open(PARTITION) == 4
    assert ObjectChain(store, FOLDER, in_table=lambda: {PARTITION: 7}).open(PARTITION) == 7
