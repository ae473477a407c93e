"""What the demo counts of cases apart from mails: answers by their rule, and events by case."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from local.demo.follow_ups import answers_of, events_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def answer(case: str, status: str, channel: str, minutes: int = 0) -> dict[str, Any]:
    return {
        "idTransaction": case,
        "status": status,
        "channel": channel,
        "answeredAt": NOON + timedelta(minutes=minutes),
    }


def event(case: str, event_type: str, minutes: int = 0, **details: str) -> dict[str, Any]:
    return {
        "idTransaction": case,
        "eventType": event_type,
        "at": NOON + timedelta(minutes=minutes),
        "details": json.dumps(details),
    }


def test_first_answers_and_all_staff_decisions_count() -> None:
    found = answers_of(
        [
            answer("a", "REPORTED_FRAUD", "LINK"),
            answer("a", "REPORTED_NOT_FRAUD", "LINK"),  # late: doesn't count
            answer("b", "REPORTED_NOT_FRAUD", "STAFF"),
            answer("b", "NO_RESPONSE", "TIMEOUT"),
            answer("c", "NO_RESPONSE", "TIMEOUT"),
            answer("c", "REPORTED_FRAUD", "STAFF"),
        ]
    )
    assert (found.counting, found.superseding, found.decisions.total()) == (4, 1, 2)
    assert [found.first_of(status) for status in ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE")] == [1, 1, 1]


def test_a_customer_answered_after_a_reminder_if_the_answer_by_a_link_came_later() -> None:
    reminded = events_of([event(case, "REMINDED", 10, share="0.3") for case in ("before", "after", "never")]).reminded
    found = answers_of(
        [
            answer("before", "REPORTED_FRAUD", "LINK", 9),
            answer("after", "REPORTED_FRAUD", "LINK", 11),
            answer("never", "NO_RESPONSE", "TIMEOUT", 20),
            answer("not reminded", "REPORTED_FRAUD", "LINK", 20),
        ]
    )
    assert found.after(reminded) == 1


def test_a_returned_receipt_is_an_event_but_its_customer_got_the_notice() -> None:
    found = events_of(
        [
            event("a", "MAIL_BOUNCED", kind="fraud_notice"),
            event("a", "MAIL_BOUNCED", kind="receipt"),
            event("b", "MAIL_BOUNCED", kind="receipt"),
            event("a", "ESCALATED", cause="not_reached"),
        ]
    )
    assert (found.by_type["MAIL_BOUNCED"], found.bounced, found.escalated) == (3, {"a"}, {"a"})
    assert found.causes == {"not_reached": 1}
