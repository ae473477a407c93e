"""Fraud notices that didn't reach their customers, counted from the events."""

from fraudstream.cases.events import (
    MAIL_BOUNCED,
    MAIL_COMPLAINED,
    MAIL_FAILED,
    MAIL_RESENT,
    MAIL_SUPPRESSED,
    CaseEvent,
)
from fraudstream.cases.undelivered import undelivered


def event(case: str, event_type: str, kind: str = "fraud_notice") -> CaseEvent:
    return CaseEvent(case, event_type, "test", details={"kind": kind})


def test_each_case_counts_once_with_its_last_event() -> None:
    events = [
        event("a", MAIL_FAILED),
        event("a", MAIL_FAILED),
        event("b", MAIL_SUPPRESSED),
        event("c", MAIL_FAILED),
        event("c", MAIL_RESENT),
        event("c", MAIL_BOUNCED),
        event("d", MAIL_BOUNCED),
        event("d", MAIL_RESENT),
        event("e", MAIL_COMPLAINED),
        event("f", MAIL_BOUNCED, kind="notice"),
    ]
    assert undelivered(events) == {"failed": 1, "bounced": 1, "suppressed": 1}
    assert undelivered([]) == {"failed": 0, "bounced": 0, "suppressed": 0}
