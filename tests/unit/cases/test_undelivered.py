"""Fraud notices that didn't reach their customers, counted from the events."""

from fraudstream.cases.events import (
    MAIL_BOUNCED,
    MAIL_COMPLAINED,
    MAIL_FAILED,
    MAIL_RESENT,
    MAIL_SUPPRESSED,
    CaseEvent,
)
from fraudstream.cases.undelivered import PlacedEvent, undelivered
from fraudstream.kafka.records import CASE_EVENT, Partition


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
    place = Partition(CASE_EVENT, 0)
    found = undelivered(PlacedEvent(one, place, offset) for offset, one in enumerate(events))
    assert found.counts() == {"failed": 1, "bounced": 1, "suppressed": 1}
    assert {(placed.event.id_transaction, placed.offset) for placed in found.events} == {("a", 1), ("b", 2), ("c", 5)}
    assert found.ends == {place: len(events)}
    assert undelivered([]).counts() == {"failed": 0, "bounced": 0, "suppressed": 0}
