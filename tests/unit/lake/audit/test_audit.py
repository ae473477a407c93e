import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import duckdb
import numpy as np
import pytest
from fraudstream.cases.answers.figures import answer_figures
from fraudstream.errors import LakeError
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit import position
from fraudstream.lake.audit.audit import compare_with_lake
from fraudstream.lake.audit.checks import Check
from fraudstream.lake.audit.contents import Span, _tables_since
from fraudstream.lake.audit.offsets import compare, ranges
from fraudstream.lake.audit.report import print_report
from fraudstream.lake.audit.result import LAKE, MAIL
from fraudstream.lake.audit.topics import Answers, FirstAnswer, TopicPartitionContent, TopicsContent
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.store.objects import StoredObject
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.names import day_of
from fraudstream.lake.stream.totals import Totals, totals_of
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip
from rich.console import Console

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch, row

NON_FRAUD = Partition(NON_FRAUD_TRANSACTION, 0)
FRAUD = Partition(FRAUD_TRANSACTION, 0)
ANSWERS = Partition(FRAUD_CONFIRMATION, 0)
DAY = day_of(MIDNIGHT_MS)

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


def array(*offsets):
    return np.asarray(offsets, np.int64)


def topics():
    """Markers at 3 and 7, an undecodable record at 5, a second answer at 1."""
    return TopicsContent(
        {
            NON_FRAUD: TopicPartitionContent(0, 8, array(0, 1, 2, 4, 5, 6), array(5), array()),
            FRAUD: TopicPartitionContent(0, 2, array(0, 1), array(), array()),
            ANSWERS: TopicPartitionContent(0, 2, array(0, 1), array(), array(1)),
        },
        cases={"tx-0": MIDNIGHT_MS, "tx-1": MIDNIGHT_MS},
        answers={"tx-0": FirstAnswer("NO_RESPONSE", MIDNIGHT_MS)},
    )


def mail_line(partition, offset):
    document = {"idTransaction": f"tx-{offset}", "status": "sent", "attempts": 1, "topic": partition.topic}
    document |= {"partition": partition.number, "offset": offset, "recordTimestamp": "2023-10-07T00:00:00.000Z"}
    return json.dumps(document).encode() + b"\n"


def put(lake, folder, partition, offsets, end):
    """An object with a line for each of `offsets`, appended to the chain."""
    if folder == names.MAILS:
        body = b"".join(mail_line(partition, offset) for offset in offsets)
    else:
        rows = [answer(o, "NO_RESPONSE") if partition == ANSWERS else row(o) for o in offsets]
        body = bytes(lines.LINES_OF[partition.topic](batch(offsets, rows=rows, partition=partition)))
    chain = AppendingChain(lake.store, folder)
    chain.open(partition)
    chain.append(partition, offsets[0], end, DAY, igzip.compress(body), Totals(len(offsets), sum(offsets)))


def whole():
    """A lake and a mail log with all that the topics hold."""
    lake = new_lake()
    for partition, offsets, end in ((NON_FRAUD, [0, 1, 2, 4, 6], 8), (FRAUD, [0, 1], 2), (ANSWERS, [0], 2)):
        for folder in (names.FOLDER_OF[partition.topic], names.MAILS):
            put(lake, folder, partition, offsets, end)
    return lake


def audited(lake, content=None):
    return compare_with_lake(content or topics(), lake, 0.0)


def line_of(report, partition, target):
    return next(line for line in report.lines if (line.partition, line.target) == (partition, target))


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


def test_the_table_says_what_is_wrong():
    lake = new_lake()
    put(lake, "transaction", NON_FRAUD, [0, 4], 8)
    out = io.StringIO()
    print_report(audited(lake), Console(file=out, width=200))
    assert "3 (1-2, 6)" in out.getvalue()
    assert "NOT OK: 3 missing, 0 duplicated, 0 unexpected" in out.getvalue()
    assert "cases without an outcome: 1 (tx-1)" in out.getvalue()


HOUR_MS = 3_600_000


def answered_after(**hours_and_statuses):
    """Cases of one midnight and their first answers, each so many hours later."""
    cases = dict.fromkeys(hours_and_statuses, MIDNIGHT_MS)
    return cases, {
        case: FirstAnswer(status, MIDNIGHT_MS + hours * HOUR_MS) for case, (hours, status) in hours_and_statuses.items()
    }


def test_the_fraud_teams_figures_are_by_day_and_outcome_with_the_time_that_customers_took():
    cases, answers = answered_after(
        a=(1, "REPORTED_FRAUD"),
        b=(2, "REPORTED_FRAUD"),
        c=(3, "REPORTED_NOT_FRAUD"),
        d=(20, "NO_RESPONSE"),
        e=(30, "REPORTED_NOT_FRAUD"),
    )
    first, second, total = answer_figures(cases, answers)
    assert [figures.day for figures in (first, second, total)] == [DAY, DAY + timedelta(days=1), None]
    assert (first.reported_fraud, first.reported_not_fraud, first.no_response, first.answered) == (2, 1, 1, 3)
    assert (first.median_seconds, first.p90_seconds) == (2 * 3600, 2.8 * 3600)  # without the one that didn't answer
    assert first.false_positive_share == 1 / 3
    assert (second.answered, second.median_seconds, second.false_positive_share) == (1, 30 * 3600, 1)
    assert (total.answered, total.no_response, total.false_positive_share) == (4, 1, 0.5)


def test_a_day_without_answers_of_customers_has_no_time_and_no_share():
    day, total = answer_figures(*answered_after(a=(1, "NO_RESPONSE")))
    for figures in (day, total):
        assert (figures.answered, figures.no_response) == (0, 1)
        assert (figures.median_seconds, figures.p90_seconds, figures.false_positive_share) == (None, None, None)
    assert [figures.answered for figures in answer_figures({}, {})] == [0]


def test_an_answer_to_an_unknown_case_is_reported_and_breaks_nothing():
    content = topics()
    content.answers["stranger"] = FirstAnswer("REPORTED_FRAUD", MIDNIGHT_MS)
    report = audited(whole(), content)
    assert report.ok
    assert (report.unknown_cases, report.unknown_case_ids, report.open_cases) == (1, ["stranger"], 1)
    figures = answer_figures(content.cases, content.answers)
    assert figures[-1].reported_fraud == 0, "it is nobody's outcome"
    assert figures[-1].to_dict()["NO_RESPONSE"] == 1
    document = json.loads(json.dumps(report.to_dict()))
    assert (document["unknown"], document["unknown_cases"]) == (1, ["stranger"])
    out = io.StringIO()
    print_report(report, Console(file=out, width=200))
    assert "answers to unknown cases: 1 (stranger)" in out.getvalue()


@pytest.mark.parametrize(("age", "overdue"), [(timedelta(hours=73), []), (timedelta(hours=75), ["case-1"])])
def test_a_case_without_an_outcome_long_after_its_time_is_named_and_no_audit_is_ok(age, overdue):
    came = int((time.time() - age.total_seconds()) * 1000)
    content = TopicsContent(
        cases={"case-1": came, "case-2": came}, answers={"case-2": FirstAnswer("NO_RESPONSE", came)}
    )
    report = compare_with_lake(content, new_lake(), 0.0, timedelta(hours=72))
    assert (report.overdue_case_ids, report.ok) == (overdue, not overdue)
    page = io.StringIO()
    print_report(report, Console(file=page, width=160))
    assert ("close_expired_cases: 1 (case-1)" in page.getvalue()) is bool(overdue)


def with_totals(content):
    """The topics' content, and the spans whose contents are compared."""
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


def test_each_audit_is_kept_as_lines_that_sql_reads(tmp_path):
    store = MemoryStore()
    report = replace(audited(whole()), checks=[Check("dead letters", 2, 0)])
    for hour in (12, 13):
        position.add_to_history(store, report.to_dict(), datetime(2023, 10, 8, hour, tzinfo=UTC))
    for name, stored in store.objects.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(stored.data)
    sql = "SELECT sum(expected), max(found) FILTER (name = 'dead letters') FROM read_json(?) GROUP BY auditedAt"
    with duckdb.connect() as connection:
        found = connection.execute(sql, [str(tmp_path / "audit" / "dt=*" / "*.jsonl")]).fetchall()
    assert [(int(expected), int(dead)) for expected, dead in found] == [(16, 2), (16, 2)]


class Said:
    """A message of fraud_confirmation, as far as an audit looks at it."""

    def __init__(self, offset, timestamp):
        self._offset, self._timestamp = offset, timestamp

    def offset(self):
        return self._offset

    def timestamp(self):
        return 2, self._timestamp


def test_of_a_cases_answers_the_first_and_each_staff_decision_are_expected():
    content = TopicsContent()
    counted = Answers(content)
    staff = {"channel": "STAFF", "decidedBy": "ana", "reason": "called"}
    rows = [
        answer(0, "REPORTED_NOT_FRAUD", channel="LINK"),
        answer(0, "REPORTED_FRAUD", **staff),
        answer(0, "REPORTED_FRAUD", channel="LINK"),
        answer(1, "REPORTED_FRAUD", **staff),
        answer(1, "NO_RESPONSE", channel="TIMEOUT"),
    ]
    messages = [Said(offset, 1_000 + offset) for offset in range(len(rows))]
    decoded = DecodedMessages(batch(range(len(rows)), rows=rows, partition=ANSWERS).rows, messages, [])
    counted.add(ANSWERS, decoded)
    assert counted.late == {ANSWERS: [2, 4]}
    assert {case: first.status for case, first in content.answers.items()} == {
        "tx-0": "REPORTED_NOT_FRAUD",
        "tx-1": "REPORTED_FRAUD",
    }
    assert content.decisions == 2


def test_a_staff_decision_is_expected_also_where_another_partition_has_an_earlier_answer():
    content = TopicsContent()
    counted = Answers(content)
    other = Partition(FRAUD_CONFIRMATION, 1)
    for partition, timestamp, values in (
        (ANSWERS, 2_000, {"channel": "STAFF", "decidedBy": "ana", "reason": "called"}),
        (other, 1_000, {"channel": "LINK"}),
    ):
        rows = batch([0], rows=[answer(0, "REPORTED_FRAUD", **values)], partition=partition).rows
        counted.add(partition, DecodedMessages(rows, [Said(0, timestamp)], []))
    assert not counted.late
