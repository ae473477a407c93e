"""The state of a case by its events: whether its notice arrived, its assignee, a decision to be confirmed."""

from collections.abc import Iterable
from dataclasses import dataclass

from fraudstream.cases.events import (
    ASSIGNED,
    DECISION_CONFIRMED,
    DECISION_REQUESTED,
    ESCALATED,
    MAIL_RESENT,
    NOTICE_ACCEPTED,
    REMINDED,
    UNDELIVERED,
    CaseEvent,
)


@dataclass(slots=True)
class EventState:
    """The state of a case by its events; `accepted_at` is in ms since 1970."""

    reached: bool = True
    reminded: bool = False
    escalated: bool = False
    assignee: str | None = None
    request: str | None = None
    accepted_at: int | None = None

    @property
    def state(self) -> str:
        """The state of the case while it has no outcome."""
        if self.escalated:
            return "escalated"
        if not self.reached:
            return "not reached"
        return "reminded" if self.reminded else "waiting"

    @classmethod
    def of(cls, events: Iterable[CaseEvent]) -> "EventState":
        """Returns the state after all events of a case, which are in log order."""
        facts = cls()
        for event in events:
            facts._take(event)
        return facts

    def _take(self, event: CaseEvent) -> None:
        kind, details = event.event_type, event.details
        if kind in UNDELIVERED and details.get("kind") == "fraud_notice":
            self.reached = False
        elif kind == MAIL_RESENT:
            self.reached = True
        elif kind == NOTICE_ACCEPTED:
            self.reached = True
            self.accepted_at = self.accepted_at or int(event.at.timestamp() * 1000)
        elif kind == REMINDED:
            self.reminded = True
        elif kind == ESCALATED:
            self.escalated = True
        elif kind == ASSIGNED:
            self.assignee = str(details.get("assignee") or "") or None
        elif kind == DECISION_REQUESTED:
            self.request = str(details.get("request"))
        elif kind == DECISION_CONFIRMED and self.request == details.get("request"):
            self.request = None
