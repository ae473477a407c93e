"""Who is reminded when, and what is escalated."""

from datetime import UTC, datetime, timedelta

import pytest
from fraudstream.cases.answers.staff import LINK, STAFF, TIMEOUT
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.events import (
    ALERTED,
    ESCALATED,
    MAIL_BOUNCED,
    MAIL_FAILED,
    MAIL_RESENT,
    MAIL_SUPPRESSED,
    NOTICE_ACCEPTED,
    REMINDED,
    CaseEvent,
)
from fraudstream.cases.watch.rules import Limits, causes, reminder_due
from fraudstream.cases.watch.state import CaseState

from tests.unit.lake.rows import batch

CAME = datetime(2026, 3, 10, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIMITS = Limits(10 * HOUR, [0.5, 0.75], 0.8)


def case(*events: str, accepted: timedelta | None = None, **details: object) -> CaseState:
    made = CaseState("case-1", CAME, batch([0]))
    if accepted is not None:
        made.happened(CaseEvent("case-1", NOTICE_ACCEPTED, "test", at=CAME + accepted))
    for event_type in events:
        found = {"kind": "fraud_notice", **details}
        made.happened(CaseEvent("case-1", event_type, "test", "550 no such user", details=found))
    return made


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [(None, 10), (0, 10), (3, 13), (10, 20), (11, 10)],
)
def test_the_clock_starts_when_the_notice_is_accepted_unless_that_is_too_late(
    accepted: int | None, expected: int
) -> None:
    at = None if accepted is None else CAME + accepted * HOUR
    assert deadline(CAME + 10 * HOUR, at, 10 * HOUR) == CAME + expected * HOUR


@pytest.mark.parametrize(
    ("now", "share"), [(4.9, None), (5.0, None), (6.0, 0.5), (8.4, 0.5), (8.5, 0.75), (10.9, 0.75), (11.0, None)]
)
def test_a_reminder_is_due_at_its_share_of_the_time_since_acceptance(now: float, share: float | None) -> None:
    assert reminder_due(case(accepted=HOUR), LIMITS, CAME + now * HOUR) == share


def test_a_customer_is_reminded_once_for_a_share_and_not_of_shares_that_were_missed() -> None:
    assert reminder_due(case(REMINDED, accepted=HOUR, share=0.5), LIMITS, CAME + 7 * HOUR) is None
    assert reminder_due(case(REMINDED, accepted=HOUR, share=0.75), LIMITS, CAME + 10 * HOUR) is None
    assert reminder_due(case(REMINDED, accepted=HOUR, share=0.5), LIMITS, CAME + 9 * HOUR) == 0.75


@pytest.mark.parametrize("event", [MAIL_BOUNCED, MAIL_FAILED, MAIL_SUPPRESSED])
def test_who_was_not_reached_is_escalated_at_once_and_not_reminded(event: str) -> None:
    unreached = case(event, accepted=HOUR)
    assert reminder_due(unreached, LIMITS, CAME + 7 * HOUR) is None
    assert causes(unreached, LIMITS, CAME + 2 * HOUR) == {"not_reached": f"{event}: 550 no such user"}
    assert causes(case(event, MAIL_RESENT, accepted=HOUR), LIMITS, CAME + 2 * HOUR) == {}
    assert causes(case(event, kind="notice"), LIMITS, CAME + 2 * HOUR) == {}


def test_a_notice_that_was_sent_anew_is_escalated_for_itself() -> None:
    resent = case(MAIL_BOUNCED, accepted=HOUR)
    for event_type in (ESCALATED, ALERTED, MAIL_RESENT):
        resent.happened(CaseEvent("case-1", event_type, "test", details={"cause": "not_reached"}, at=CAME + 3 * HOUR))
    assert (resent.escalated, resent.alerted) == (set(), set())
    # An escalation by a run that read the case before its notice was sent again.
    resent.happened(CaseEvent("case-1", ESCALATED, "test", details={"cause": "not_reached"}))
    for _ in range(2):  # the second one was written again after a crash
        resent.happened(CaseEvent("case-1", MAIL_BOUNCED, "test", details={"kind": "fraud_notice"}))
        assert resent.escalated == set()
    resent.happened(CaseEvent("case-1", ESCALATED, "test", details={"cause": "not_reached"}))
    resent.happened(CaseEvent("case-1", MAIL_BOUNCED, "test", details={"kind": "fraud_notice"}))
    assert resent.escalated == {"not_reached"}


def test_a_notice_that_was_sent_anew_has_most_of_the_time_left_to_be_accepted() -> None:
    resent = case(MAIL_FAILED)
    resent.happened(CaseEvent("case-1", MAIL_RESENT, "test", at=CAME + 8.5 * HOUR))
    assert causes(resent, LIMITS, CAME + 9.6 * HOUR) == {}
    assert causes(resent, LIMITS, CAME + 9.8 * HOUR) == {
        "not_reached": "no mail server has accepted the notice within 80% of the time left"
    }


def test_after_an_answer_nobody_is_reminded_and_silence_is_no_cause() -> None:
    answered = case(accepted=HOUR)
    answered.answered("REPORTED_FRAUD", LINK, CAME)
    assert reminder_due(answered, LIMITS, CAME + 7 * HOUR) is None
    assert causes(answered, LIMITS, CAME + 9 * HOUR) == {}


def test_silence_for_most_of_the_time_is_escalated() -> None:
    assert causes(case(accepted=HOUR), LIMITS, CAME + 8.9 * HOUR) == {}
    assert causes(case(accepted=HOUR), LIMITS, CAME + 9 * HOUR) == {
        "no_answer": "no answer within 80% of the time limit"
    }
    assert list(causes(case(), LIMITS, CAME + 8 * HOUR)) == ["not_reached"]
    assert causes(case(), LIMITS, CAME + 7.9 * HOUR) == {}


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([("REPORTED_FRAUD", LINK), ("REPORTED_FRAUD", LINK)], []),
        ([("REPORTED_FRAUD", LINK), ("REPORTED_NOT_FRAUD", LINK)], ["disagreement"]),
        ([("NO_RESPONSE", TIMEOUT), ("REPORTED_FRAUD", LINK)], ["disagreement"]),
        ([("NO_RESPONSE", None)], []),
        ([("REPORTED_FRAUD", LINK), ("NO_RESPONSE", TIMEOUT)], []),
        ([("REPORTED_FRAUD", None), ("NO_RESPONSE", None)], []),
        ([("REPORTED_FRAUD", STAFF), ("NO_RESPONSE", TIMEOUT)], []),
        ([("REPORTED_FRAUD", LINK), ("NO_RESPONSE", TIMEOUT), ("REPORTED_NOT_FRAUD", LINK)], ["disagreement"]),
        ([("REPORTED_FRAUD", LINK), ("REPORTED_NOT_FRAUD", LINK), ("REPORTED_FRAUD", STAFF)], []),
        ([("REPORTED_FRAUD", LINK), ("REPORTED_NOT_FRAUD", STAFF), ("REPORTED_FRAUD", LINK)], ["disagreement"]),
    ],
)
def test_answers_that_differ_are_a_cause_until_a_person_decides(
    answers: list[tuple[str, str | None]], found: list[str]
) -> None:
    one = case(accepted=HOUR)
    for status, channel in answers:
        one.answered(status, channel, CAME)
    assert list(causes(one, LIMITS, CAME + 2 * HOUR)) == found


@pytest.mark.parametrize("share", [None, "half", [0.5], {}, 10**400, 1e308, -1])
def test_an_event_that_says_no_share_is_no_reminder(share: object) -> None:
    assert case(REMINDED, accepted=HOUR, share=share).reminded == 0


def test_what_was_escalated_is_remembered_by_cause() -> None:
    assert case(ESCALATED, cause="no_answer").escalated == {"no_answer"}


def test_a_disagreement_after_a_staff_decision_is_one_of_its_own() -> None:
    one = case(accepted=HOUR)
    for status, channel, at in (
        ("REPORTED_FRAUD", LINK, 2),
        ("REPORTED_NOT_FRAUD", LINK, 3),
        ("REPORTED_FRAUD", STAFF, 5),
        ("REPORTED_NOT_FRAUD", LINK, 6),
    ):
        one.answered(status, channel, CAME + at * HOUR)
    for event_type in (ESCALATED, ALERTED):
        one.happened(CaseEvent("case-1", event_type, "test", details={"cause": "disagreement"}, at=CAME + 4 * HOUR))
        one.happened(CaseEvent("case-1", event_type, "test", details={"cause": "no_answer"}, at=CAME + 4 * HOUR))
    assert (one.escalated, one.alerted) == ({"no_answer"}, {"no_answer"})
    assert list(causes(one, LIMITS, CAME + 7 * HOUR)) == ["disagreement"]
    one.happened(CaseEvent("case-1", ESCALATED, "test", details={"cause": "disagreement"}, at=CAME + 7 * HOUR))
    assert one.escalated == {"no_answer", "disagreement"}
