"""An audit from the last successful one on, with topics in memory."""

from dataclasses import replace

import pytest
from fraudstream.cases.events import MAIL_BOUNCED, MAIL_RESENT
from fraudstream.lake.audit.result import LAKE, AuditReport

from tests.unit.lake.audit.audited_pipeline import NON_FRAUD, Pipeline, new_pipeline
from tests.unit.lake.rows import MIDNIGHT_MS


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    return new_pipeline(monkeypatch)


def red(report: AuditReport) -> list[str]:
    return [check.name for check in report.checks if not check.ok]


def test_what_a_green_audit_saw_is_not_read_again(pipeline):
    pipeline.goes_on(20)
    first = pipeline.audited()
    assert first.ok, first.to_dict()
    pipeline.goes_on(5)
    second = pipeline.audited(first.position)
    assert second.ok
    assert pipeline.brokers.read == list(range(20, 25))
    assert [line.expected for line in second.lines if line.partition == NON_FRAUD] == [5, 5]
    assert pipeline.audited(second.position).ok
    assert pipeline.brokers.read == []


def test_a_record_that_is_lost_or_changed_after_a_green_audit_makes_the_next_one_red(pipeline):
    pipeline.goes_on(20)
    green = pipeline.audited().position
    pipeline.goes_on(5, without=[22])
    lost = pipeline.audited(green)
    assert not lost.ok
    assert [line.missing for line in lost.lines if line.partition == NON_FRAUD] == [[(22, 22)], [(22, 22)]]
    pipeline.goes_on(5, changed=27)
    changed = pipeline.audited(replace(green, ends={**green.ends, NON_FRAUD: 25}))
    assert not changed.ok
    (line,) = [line for line in changed.lines if line.partition == NON_FRAUD and line.target == LAKE]
    assert (line.missing_count, set(line.changed)) == (0, {"nameDest"})


def test_a_topic_with_another_id_is_audited_from_its_beginning(pipeline):
    pipeline.goes_on(20)
    green = pipeline.audited().position
    pipeline.brokers.topic_id = "anew"
    report = pipeline.audited(green)
    assert red(report) == ["topic-partitions recreated or truncated"]
    assert pipeline.brokers.read == list(range(20))


def test_dead_letters_are_red_above_their_limit_and_only_new_ones_count(pipeline):
    pipeline.brokers.dead = [3, 7]
    pipeline.goes_on(20)
    assert red(pipeline.audited()) == ["dead letters"]
    accepted = pipeline.audited(dead_letters=2)
    assert accepted.ok
    pipeline.goes_on(5)
    assert pipeline.audited(accepted.position).ok


def test_a_letter_of_a_deleted_topic_is_none_of_the_record_that_has_its_offset_now(pipeline):
    """Of the letters at 3, 4 and 100, none has the timestamp of a record; the one at 7 has none of its own."""
    old = MIDNIGHT_MS - 1
    pipeline.brokers.of_deleted_topic = {3: {old}, 4: {old, MIDNIGHT_MS + 1}, 100: {old}}
    pipeline.goes_on(20)
    report = pipeline.audited()
    assert report.ok
    assert report.to_dict()["dead_letters"] == 0
    pipeline.brokers.of_deleted_topic[7] = {None}
    assert red(pipeline.audited()) == ["dead letters"]


def test_a_notice_that_bounced_is_red_until_it_is_accepted_or_sent_anew(pipeline):
    pipeline.goes_on(20)
    pipeline.happens("tx-1", MAIL_BOUNCED)
    assert red(pipeline.audited()) == ["fraud notices bounced or suppressed"]
    accepted = pipeline.audited(undelivered_notices=1)
    assert accepted.ok
    assert pipeline.audited(accepted.position).ok
    pipeline.happens("tx-2", MAIL_BOUNCED)
    assert red(pipeline.audited(accepted.position)) == ["fraud notices bounced or suppressed"]
    pipeline.happens("tx-2", MAIL_RESENT)
    report = pipeline.audited(accepted.position)
    assert report.ok
    assert report.undelivered == {"failed": 0, "bounced": 1, "suppressed": 0}
