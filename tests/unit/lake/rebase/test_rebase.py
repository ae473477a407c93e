"""After a topic was restored to an earlier state, the lake has the topic's records, each exactly once."""

import gzip
import itertools
import json
from datetime import date

import numpy as np
import pytest
from fraudstream.errors import LakeError, TopicChanged
from fraudstream.lake import __main__ as command_line
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.rebase import command as rebase_command
from fraudstream.lake.rebase.rebase import apply_plan, plan
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.retention import unread
from fraudstream.lake.stream.totals import totals_of

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.chains import Clock
from tests.unit.lake.rebase.restored_topic import (
    FOLDER,
    TOPIC,
    Crash,
    Topics,
    assert_chain_is_whole,
    expected,
    lake,
    read,
    rebased,
)
from tests.unit.lake.rows import PARTITION

_DAY = date(2023, 10, 7)


@pytest.mark.parametrize("end", [0, 1, 4, 6, 9])
def test_a_truncated_topic_stops_its_reader_and_after_a_rebase_each_record_is_there_once(end):
    store = MemoryStore()
    read(store, Topics(), "old")
    topics = Topics(ends={3: end})
    with pytest.raises(TopicChanged, match=rf"ends at offset {end}, but folder transaction/ .* up to 10"):
        ObjectChain(store, FOLDER, topics).open(PARTITION)
    found = rebased(store, topics)
    assert found.kept == {PARTITION: end}
    topics.ends[3] = 12
    read(store, topics, "new", rows=5)
    assert lake(store) == expected(end, 12)
    assert_chain_is_whole(store, 12)


@pytest.mark.parametrize("agreed", [0, 3, 4, 6])
def test_records_that_came_between_a_restore_and_the_rebase_replace_those_that_had_their_offsets(agreed):
    store = MemoryStore()
    read(store, Topics(), "old")
    topics = Topics(ends={3: 8})
    assert rebased(store, topics, agreed).kept == {PARTITION: agreed}
    topics.ends[3] = 12
    read(store, topics, "new")
    assert lake(store) == expected(agreed, 12)
    assert_chain_is_whole(store, 12)


@pytest.mark.parametrize("agreed", [0, 3, 4, 10])
def test_a_topic_that_was_made_anew_is_read_again_from_where_it_differs(agreed):
    store = MemoryStore()
    read(store, Topics(), "old")
    topics = Topics("second id", ends={3: 15})
    with pytest.raises(TopicChanged):
        read(store, topics, "new")
    rebased(store, topics, agreed)
    read(store, topics, "new")
    assert lake(store) == expected(agreed, 15)
    assert_chain_is_whole(store, 15)
    assert not rebased(store, topics, agreed)  # there is nothing left to do


def test_whenever_it_dies_it_can_be_run_again():
    for step in itertools.count():
        store = MemoryStore()
        read(store, Topics(), "old")
        topics = Topics("second id", ends={3: 8})
        calls = itertools.count()

        def dies(operation, name, calls=calls, step=step):
            if operation in {"create", "replace", "delete"} and next(calls) == step:
                raise Crash

        store.after = dies
        died = False
        try:
            rebased(store, topics, 6)
        except Crash:
            died = True
        store.after = lambda operation, name: None
        # The first decision stays: with rows already set aside, lake and topic would seem to agree on more.
        rebased(store, topics, 8 if died and step else 6)
        topics.ends[3] = 12
        read(store, topics, "new")
        assert lake(store) == expected(6, 12)
        assert_chain_is_whole(store, 12)
        if not died:
            assert step > 5
            return


def test_what_is_set_aside_is_kept():
    store = MemoryStore()
    read(store, Topics(), "old")
    found = rebased(store, Topics(ends={3: 6}))
    aside = [stored for name, stored in store.objects.items() if name.startswith(f"_rebased/{found.time}/{FOLDER}/")]
    offsets = [json.loads(line)["offset"] for stored in aside for line in gzip.decompress(stored.data).splitlines()]
    assert offsets == [4, 5, 6, 7, 8, 9]


def test_cases_that_were_opened_stay_claimed_up_to_the_end():
    store = MemoryStore()
    chain = AppendingChain(store, "_cases", Topics())
    chain.open(PARTITION)
    body = gzip.compress(b'{"idTransaction": "a"}\n{"idTransaction": "b"}\n')
    chain.append(PARTITION, 0, 9, _DAY, body, totals_of(np.array([0, 8])))
    rebased(store, Topics(ends={3: 5}))
    (stored,) = (stored for name, stored in store.objects.items() if name.startswith("_cases/"))
    assert Link.of(stored.info).end == 5
    assert gzip.decompress(stored.data) == gzip.decompress(body)
    assert progress.load(store, "_cases", PARTITION).end == 5


def mailed(store, topics, *ends):
    """A mail log with objects up to these ends, whose writer crashed with the progress after the first one."""
    clock = Clock()
    chain = AppendingChain(store, names.MAILS, topics, clock=clock, sleep=clock.sleep)
    chain.open(PARTITION)
    start = topics.first_offset(PARTITION)
    for end in ends:
        body = gzip.compress(b"".join(json.dumps({"offset": offset}).encode() + b"\n" for offset in range(start, end)))
        start = chain.append(PARTITION, start, end, _DAY, body, totals_of(np.arange(start, end))).end
    assert progress.load(store, names.MAILS, PARTITION).end == ends[0]


def test_a_topic_that_ends_between_a_dead_writers_progress_and_its_last_object_stops_the_next_one_too():
    store = MemoryStore()
    mailed(store, Topics(), 4, 8, 10)
    topics = Topics(ends={3: 7})
    with pytest.raises(TopicChanged, match=r"ends at offset 7, but .* up to 10"):
        AppendingChain(store, names.MAILS, topics).open(PARTITION)
    assert rebased(store, topics, 0).kept == {PARTITION: 7}  # the lake has no record there that could differ
    assert AppendingChain(store, names.MAILS, topics).open(PARTITION) == 7


def test_mails_behind_a_dead_writers_progress_stay_logged_when_a_rebase_acknowledges_what_retention_took():
    store = MemoryStore()
    topics = Topics(ends={3: 20}, firsts={3: 2})
    mailed(store, topics, 4, 8, 10)
    found = rebased(store, topics)
    assert (found.kept, found.objects) == ({PARTITION: 10}, [])
    assert AppendingChain(store, names.MAILS, topics).open(PARTITION) == 10
    assert [line.taken for line in unread(store, topics, names.MAILS, TOPIC)] == [0]


def test_a_partition_that_agrees_is_left_alone():
    store = MemoryStore()
    read(store, Topics(), "old")
    before = dict(store.objects)
    assert not rebased(store, Topics(ends={3: 11}))
    assert store.objects == before


def test_a_consumer_that_runs_meanwhile_is_noticed():
    store = MemoryStore()
    read(store, Topics(), "old")
    topics = Topics(ends={3: 6})
    found = plan(store, topics, TOPIC, lambda partition, end: end)
    there = progress.load(store, FOLDER, PARTITION)
    progress.save(store, FOLDER, PARTITION, Progress(11, there.generation, "first id"))
    with pytest.raises(TopicChanged, match="is running"):
        apply_plan(store, found)


def test_of_two_rebases_at_once_the_later_one_stops_before_it_changes_anything():
    store = MemoryStore()
    read(store, Topics(), "old")
    found = plan(store, Topics(ends={3: 6}), TOPIC, lambda partition, end: end)
    decision = f"_rebased/{TOPIC}.json"

    def other(operation, name):
        if (operation, name) == ("replace", decision):
            store.before = lambda operation, name: None
            store.replace(decision, b"{}", 0, content_type="application/json")

    before = dict(store.objects)
    store.before = other
    with pytest.raises(TopicChanged, match="another rebase"):
        apply_plan(store, found)
    del store.objects[decision]
    assert store.objects == before


def test_compacted_records_that_would_have_to_go_are_named():
    store = MemoryStore()
    lake = new_lake(store)
    read(store, Topics(), "old")
    compact(lake, FOLDER, _DAY)

    def planned(end):
        return plan(store, Topics(ends={3: end}), TOPIC, lambda partition, end: end, lake.tables.offsets)

    with pytest.raises(LakeError, match=r"have any more: transaction\..*docs/restore\.md"):
        planned(6)
    assert not planned(10)


def test_what_retention_took_unread_is_counted_until_a_rebase_acknowledges_it():
    store = MemoryStore()
    read(store, Topics(), "old")
    topics = Topics(ends={3: 20}, firsts={3: 14})
    (line,) = unread(store, topics, FOLDER, TOPIC)
    assert (line.next_unread, line.first_available, line.taken) == (10, 14, 4)
    clock = Clock()
    chain = AppendingChain(store, FOLDER, topics, clock=clock, sleep=clock.sleep)
    chain.open(PARTITION)
    chain.append(PARTITION, 14, 20, _DAY, b"", totals_of(np.array([14])))
    chain.settle()
    assert [line.taken for line in unread(store, topics, FOLDER, TOPIC)] == [4]
    rebased(store, topics)
    assert [line.taken for line in unread(store, topics, FOLDER, TOPIC)] == [0]


def test_the_command_says_what_it_would_do_and_does_it_with_yes(monkeypatch, capsys):
    store, topics = MemoryStore(), Topics("second id", ends={3: 6})
    read(store, Topics(), "old")
    before = dict(store.objects)
    monkeypatch.setattr(rebase_command, "Topics", lambda settings: topics)
    monkeypatch.setattr(rebase_command, "_require_at_rest", lambda settings, topic: None)
    monkeypatch.setattr(rebase_command, "agreement", lambda settings, store, partition, end: min(5, end))
    monkeypatch.setattr(command_line.Lake, "connect", lambda settings, bucket: new_lake(store))

    assert command_line.main(["rebase", TOPIC]) == 0
    said = capsys.readouterr().out
    assert (
        f"{PARTITION}: the topic has another id than first id; same records up to 5; read again from offset 5" in said
    )
    assert "end 10 becomes 5, topic id first id becomes second id" in said
    assert "nothing is changed; run it again with --yes" in said
    assert store.objects == before

    assert command_line.main(["rebase", TOPIC, "--yes"]) == 0
    assert "the consumers of non_fraud_transaction continue" in capsys.readouterr().out
    assert lake(store) == [(offset, "old") for offset in range(5)]
    assert command_line.main(["rebase", TOPIC]) == 0
    assert "the lake agrees with the topic; nothing to do" in capsys.readouterr().out
