"""The filters and the results of the queue of cases."""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: States of a case without an outcome, the most urgent first.
OPEN_STATES = ("escalated", "not reached", "reminded", "waiting")
#: `answered`: by the customer, or NO_RESPONSE after the time limit. `decided`: by a person of the bank.
STATES = (*OPEN_STATES, "answered", "decided")
#: What the queue can be sorted by, as SQL.
ORDERS = {
    "deadline": "deadline",
    "-deadline": "deadline DESC",
    "amount": "amount",
    "-amount": "amount DESC",
}


@dataclass(frozen=True, slots=True)
class QueuedCase:
    """A case as a line of the queue; the amount in minor units."""

    id: str
    came_at: datetime
    amount: int
    customer: str
    type: str
    deadline: datetime
    state: str
    #: Status of the answer that counts; None: the case has no answer.
    outcome: str | None
    assignee: str
    #: Id of a decision that another person has to confirm, if there is one.
    request: str

    @property
    def is_open(self) -> bool:
        """Whether the case has no outcome yet."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cases are requested, in which order, and which page of them. None or empty text: no restriction.

    :param least: smallest amount, in minor units
    :param most: largest amount, in minor units
    :param older: the case came at least this long ago
    :param within: the deadline is at most this far away; overdue cases always match
    """

    states: tuple[str, ...] = OPEN_STATES
    least: int | None = None
    most: int | None = None
    older: timedelta | None = None
    within: timedelta | None = None
    customer: str = ""
    assignee: str = ""
    to_confirm: bool = False
    sort: str = "deadline"
    first: int = 0
    rows: int = 50

    @property
    def order(self) -> str:
        """The order as SQL, which never has text that a user entered."""
        return ORDERS[self.sort]

    def condition(self, now: datetime) -> tuple[str, tuple[object, ...]]:
        """Returns the filter as SQL with its values, without states, order and page."""
        parts: list[tuple[str, object]] = []
        if self.least is not None:
            parts.append(("amount >= ?", self.least))
        if self.most is not None:
            parts.append(("amount <= ?", self.most))
        if self.older is not None:
            parts.append(("came_at <= ?", int((now - self.older).timestamp() * 1000)))
        if self.within is not None:
            parts.append(("deadline <= ?", int((now + self.within).timestamp() * 1000)))
        if self.customer:
            parts.append(("customer = ?", self.customer))
        if self.assignee:
            parts.append(("assignee = ?", self.assignee))
        conditions = ["came_at IS NOT NULL", *(sql for sql, _ in parts)]
        if self.to_confirm:
            conditions.append("request IS NOT NULL")
        return " AND ".join(conditions), tuple(value for _, value in parts)


@dataclass(frozen=True, slots=True)
class Queue:
    """One page of the queue."""

    cases: list[QueuedCase]
    #: Number of cases on all pages.
    total: int
    #: Sum of their amounts, in minor units.
    amount: int
    #: Number of cases by state, over all states, that match the rest of the filter.
    counts: dict[str, int]
