"""The audit finds every missing, duplicated, unexpected or changed record, and no other."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from fraudstream.errors import LakeError
from fraudstream.lake.audit import position
from fraudstream.lake.audit.audit import compare_with_lake
from fraudstream.lake.audit.checks import Check
from fraudstream.lake.audit.contents import Span, _tables_since
from fraudstream.lake.audit.offsets import compare, ranges
from fraudstream.lake.audit.report import print_report
from fraudstream.lake.audit.result import LAKE, MAIL
from fraudstream.lake.audit.topics import TopicPartitionContent, TopicsContent
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.store.objects import StoredObject
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import Totals, totals_of
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip
from rich.console import Console

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.audit.audited_lake import (
    ANSWERS,
    DAY,
    FRAUD,
    NON_FRAUD,
    array,
    audited,
    line_of,
    mail_line,
    put,
    topics,
    whole,
)
from tests.unit.lake.rows import answer, batch, row

offset_sets = st.sets(st.integers(0, 60)).map(lambda found: np.asarray(sorted(found), np.int64))


@settings(deadline=None)
@given(offset_sets, st.lists(st.integers(0, 60)))
def test_every_difference_is_found_and_nothing_else(expected, found):
    difference = compare(expected, np.asarray(found, np.int64))
    assert set(difference.missing.tolist()) == set(expected.tolist()) - set(found)
    assert set(difference.unexpected.tolist()) == set(found) - set(expected.tolist())
    assert set(difference.duplicated.tolist()) == {offset for offset in found if found.count(offset) > 1}


@settings(deadline=None)
@given(offset_sets, st.data())
def test_ranges_hold_the_offsets_and_nothing_else_of_what_there_is(among, data):
    chosen = among[data.draw(st.lists(st.booleans(), min_size=len(among), max_size=len(among)))]
    made = ranges(chosen, among)
    assert [o for first, last in made for o in among.tolist() if first <= o <= last] == chosen.tolist()
    for (_, last), (first, _) in pairwise(made):
        assert any(last < o < first for o in among.tolist())


def test_a_whole_lake_is_ok_whether_compacted_or_not():
    lake = whole()
    for _ in range(2):
        report = audited(lake)
        assert report.ok
        assert (report.total("expected"), report.total("found"), report.total("behind")) == (16, 16, 0)
        assert (report.open_cases, report.open_case_ids) == (1, ["tx-1"])
        assert (line_of(report, NON_FRAUD, LAKE).dead_letters, line_of(report, ANSWERS, MAIL).late) == (1, 1)
        for folder in names.FOLDERS:
            compact(lake, folder, DAY)


@pytest.mark.parametrize(("folder", "target"), [("transaction", LAKE), (names.MAILS, MAIL)])
def test_missing_records_below_the_end_of_the_chain_are_named_by_their_ranges(folder, target):
    lake = new_lake()
    put(lake, folder, NON_FRAUD, [0, 4], 8)
    report = audited(lake)
    line = line_of(report, NON_FRAUD, target)
    assert not report.ok
    assert (line.missing_count, line.missing, line.behind) == (3, [(1, 2), (6, 6)], 0)
    document = report.to_dict()
    assert (document["ok"], document["missing"]) == (False, 3)
    assert json.loads(json.dumps(document))["lines"][-1 if target == MAIL else -2]["missing"] == [[1, 2], [6, 6]]


def test_records_that_the_reader_hasnt_reached_are_behind_and_not_missing():
    lake = new_lake()
    put(lake, "transaction", NON_FRAUD, [0, 1], 2)
    line = line_of(audited(lake), NON_FRAUD, LAKE)
    assert line.ok
    assert (line.found, line.behind, line.missing_count) == (2, 3, 0)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_what_the_readers_write_while_the_audit_reads_is_never_missing(every):
    lake, records, calls = new_lake(), 200, 0
    progress = dict.fromkeys(("transaction", names.MAILS), 0)

    def write(folder):
        offset = progress[folder]
        put(lake, folder, NON_FRAUD, [offset], offset + 1)
        progress[folder] = offset + 1

    def readers_go_on(operation, name):
        nonlocal calls
        calls += 1
        lake.store.before = lambda operation, name: None
        if calls % every == 0:
            for folder in progress:
                write(folder)
        lake.store.before = readers_go_on

    for folder in progress:
        write(folder)
    lake.store.before = readers_go_on
    content = TopicPartitionContent(0, records, np.arange(records), array(), array())
    report = audited(lake, TopicsContent({NON_FRAUD: content}))

    assert 1 < min(progress.values()) <= max(progress.values()) < records, "they wrote, and are still behind"
    assert report.ok, report.to_dict()
    for line in report.lines:
        assert line.found + line.behind == line.expected


def test_a_record_in_two_objects_is_duplicated():
    lake = whole()
    doubled = batch([1, 2, 4], partition=NON_FRAUD)
    lake.store.create(
        names.object_name("transaction", DAY, *NON_FRAUD, 1),
        igzip.compress(bytes(lines.transaction(doubled))),
        content_type="application/gzip",
        metadata=Link(NON_FRAUD, 1, 1, 5, Totals(3)).metadata(),
    )
    report = audited(lake)
    assert not report.ok
    assert line_of(report, NON_FRAUD, LAKE).duplicated == [(1, 4)]
    assert report.to_dict()["duplicated"] == 3


def test_a_second_outcome_of_a_case_and_a_row_of_a_dead_letter_are_unexpected():
    lake = new_lake()
    put(lake, names.FRAUD_CASES, ANSWERS, [0, 1], 2)
    put(lake, "transaction", NON_FRAUD, [0, 1, 2, 4, 5, 6], 8)
    report = audited(lake)
    assert not report.ok
    assert line_of(report, ANSWERS, LAKE).unexpected == [(1, 1)]
    assert line_of(report, NON_FRAUD, LAKE).unexpected == [(5, 5)]


def test_rows_before_the_topics_beginning_and_behind_its_end_dont_count():
    lake = whole()
    put(lake, "transaction", NON_FRAUD, [8, 9], 10)
    content = topics()
    content.partitions[NON_FRAUD] = TopicPartitionContent(2, 8, array(2, 4, 5, 6), array(5), array())
    line = line_of(audited(lake, content), NON_FRAUD, LAKE)
    assert line.ok
    assert (line.expected, line.found) == (3, 3)


def with_totals(content):
    """The content of the topics, and the offset ranges whose contents are compared."""
    for partition, of in content.partitions.items():
        expected = of.expected.tolist()
        rows = [answer(o, "NO_RESPONSE") if partition == ANSWERS else row(o) for o in expected]
        made = batch(expected, rows=rows, partition=partition)
        of.totals = totals_of(made.offsets, made.rows)
    return content, {partition: Span(0, of.end) for partition, of in content.partitions.items()}


def test_a_changed_value_is_found_though_every_offset_is_there():
    content, spans = with_totals(topics())
    lake = whole()
    store = lake.store
    assert compare_with_lake(content, lake, 0.0, since={}, spans=spans).ok
    (name,) = [name for name in store.objects if name.startswith(f"transaction/dt=2023-10-07/{NON_FRAUD.topic}")]
    before = store.objects[name]
    changed = igzip.decompress(before.data).replace(b'"amount":9839.66', b'"amount":9839.67')
    assert changed != igzip.decompress(before.data)
    store.objects[name] = StoredObject(before.info, igzip.compress(changed))
    report = compare_with_lake(content, lake, 0.0, since={}, spans=spans)
    line = line_of(report, NON_FRAUD, LAKE)
    assert not report.ok
    assert set(line.changed) == {"amount"}
    assert line.changed["amount"][1] - line.changed["amount"][0] == 1
    assert report.to_dict()["changed"] == 1
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    assert "contents differ in the lake (offsets 0-7): amount" in out.getvalue()


def test_what_was_audited_isnt_read_again():
    lake = whole()
    since = {NON_FRAUD: 8, FRAUD: 2, ANSWERS: 2}
    content = TopicsContent({p: TopicPartitionContent(end, end, *[array()] * 3) for p, end in since.items()})
    downloads = []
    lake.store.before = lambda operation, name: downloads.append(name) if operation == "download" else None
    for _ in range(2):
        assert compare_with_lake(content, lake, 0.0, since=since).ok
        assert downloads == [], "neither read nor fetched"
        assert list(_tables_since(lake, "transaction", since, ["topic", "partition", "offset"])) == []
        compact(lake, "transaction", DAY)
        downloads.clear()


def test_a_mail_that_nobody_will_try_again_is_counted():
    lake = whole()
    store = lake.store
    line = mail_line(NON_FRAUD, 8).replace(b'"sent"', b'"failed"')
    chain = AppendingChain(store, names.MAILS)
    chain.open(NON_FRAUD)
    chain.append(NON_FRAUD, 8, 9, DAY, igzip.compress(line), Totals(1, 8))
    assert {place: found.tolist() for place, found in audited(lake).failed_mails.items()} == {NON_FRAUD: [8]}
    assert compare_with_lake(topics(), lake, 0.0, since={NON_FRAUD: 9}).failed_mails == {}


@pytest.mark.parametrize(("found", "limit", "ok"), [(0, 0, True), (1, 0, False), (3, 3, True), (4, 3, False)])
def test_a_check_makes_the_audit_red_above_its_limit(found, limit, ok):
    report = replace(audited(whole()), checks=[Check("dead letters", found, limit, ("x[0]: 1",))])
    assert report.ok is ok
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    assert f"dead letters: {found} of at most {limit} (x[0]: 1)" in out.getvalue()


def test_the_position_of_a_green_audit_comes_back_and_a_new_topic_begins_anew():
    store = MemoryStore()
    now = datetime(2023, 10, 8, 12, tzinfo=UTC)
    assert position.load(store) == position.Position()
    position.save(store, position.Position({NON_FRAUD: 8, FRAUD: 2}, {NON_FRAUD.topic: "a", FRAUD.topic: "b"}), now)
    there = position.load(store)
    assert there.since({NON_FRAUD.topic: "a", FRAUD.topic: "b"}) == {NON_FRAUD: 8, FRAUD: 2}
    assert there.since({NON_FRAUD.topic: "anew", FRAUD.topic: "b"}) == {FRAUD: 2}
    store.replace("audit/position.json", b"{", there.generation, content_type="")
    with pytest.raises(LakeError, match=r"audit/position\.json is unreadable"):
        position.load(store)
