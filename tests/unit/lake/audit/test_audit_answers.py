"""What the audit reports about answers of customers and staff, and how its results are shown and stored."""

import io
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import pytest
from fraudstream.cases.answers.figures import answer_figures
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.records import FRAUD_CONFIRMATION, Partition
from fraudstream.lake.audit import position
from fraudstream.lake.audit.audit import compare_with_lake
from fraudstream.lake.audit.checks import Check
from fraudstream.lake.audit.report import print_report
from fraudstream.lake.audit.topics import Answers, FirstAnswer, TopicsContent
from rich.console import Console

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.audit.audited_lake import ANSWERS, DAY, NON_FRAUD, audited, put, topics, whole
from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch


class Said:
    """A message of fraud_confirmation, with the fields that an audit reads."""

    def __init__(self, offset, timestamp):
        self._offset, self._timestamp = offset, timestamp

    def offset(self):
        return self._offset

    def timestamp(self):
        return 2, self._timestamp


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
    """Cases of one midnight and their first answers, each after this many hours."""
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
    assert (first.median_seconds, first.p90_seconds) == (2 * 3600, 2.8 * 3600)  # without the case that has no answer
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
