"""Rules over the state of a case: whether its customer is reminded, and whether people have to look at it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fraudstream.cases.deadlines import deadline
from fraudstream.cases.watch.state import DISAGREEMENT, NOT_REACHED, CaseState

#: Cause of an escalation: the customer hasn't answered within the escalation's share of the time limit.
NO_ANSWER = "no_answer"


@dataclass(frozen=True, slots=True)
class Limits:
    """The time limit of a case, and the shares of it after which its customer is reminded and the case is escalated."""

    time_limit: timedelta
    reminders: Sequence[float]
    escalation: float

    def until(self, case: CaseState) -> datetime:
        """Returns when the case's time is up."""
        return deadline(case.came_at + self.time_limit, case.accepted_at, self.time_limit)


def reminder_due(case: CaseState, limits: Limits, now: datetime) -> float | None:
    """Returns the share of the time limit that a reminder is due for; None: no reminder is due.

    If several are due, because the DAG did not run for a while, only the last one is sent. None is due if the notice
    didn't reach the customer, or if the case's time is up.
    """
    if not case.open or case.accepted_at is None or case.undelivered is not None or now >= limits.until(case):
        return None
    passed = (now - case.accepted_at) / limits.time_limit
    share = max((share for share in limits.reminders if share <= passed), default=0.0)
    return share if share > case.reminded else None


def causes(case: CaseState, limits: Limits, now: datetime) -> dict[str, str]:
    """Returns a description of each cause for which people have to look at a case now, including reported ones."""
    if not case.open:
        # the NO_RESPONSE of an expired case counts, too: a customer's later answer disagrees with it
        different = sorted(set(case.statuses))
        return {DISAGREEMENT: f"answers differ: {', '.join(different)}"} if len(different) > 1 else {}
    share = f"{limits.escalation:.0%} of the time"
    if case.undelivered is not None:
        return {NOT_REACHED: f"{case.undelivered.event_type}: {case.undelivered.reason}"}
    if case.accepted_at is not None:
        silent = now - case.accepted_at >= limits.escalation * limits.time_limit
        return {NO_ANSWER: f"no answer within {share} limit"} if silent else {}
    # a notice that was sent again must be accepted within the same share of the time that was left
    start = case.resent_at or case.came_at
    if now - start < limits.escalation * (limits.until(case) - start):
        return {}
    return {
        NOT_REACHED: f"no mail server has accepted the notice within {share} {'left' if case.resent_at else 'limit'}"
    }
