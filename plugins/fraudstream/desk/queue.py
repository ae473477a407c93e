"""What the queue of cases can be asked, and what it answers."""

from dataclasses import dataclass
from datetime import datetime, timedelta

#: States of a case without an outcome, the most urgent first.
OPEN_STATES = ("escalated", "not reached", "reminded", "waiting")
#: `answered`: by the customer, or by the end of the time. `decided`: by a person of the bank.
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
    """A case in one line; the amount in minor units."""

    id: str
    came_at: datetime
    amount: int
    customer: str
    type: str
    deadline: datetime
    state: str
    #: What the case came to, if it did.
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
    """Which cases are wanted, in which order, and which page of them. None and empty text: any.

    :param within: deadline at most so far away; overdue cases are within any time
    :param older: the case came at least so long ago
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
        """The order as SQL; never text of a person's."""
        return ORDERS[self.sort]

    def condition(self, now: datetime) -> tuple[str, tuple[object, ...]]:
        """All but states, order and page, as SQL with its values."""
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
    #: Cases on all pages.
    total: int
    #: Their money, minor units.
    amount: int
    #: Cases by state that the rest of the filter lets through.
    counts: dict[str, int]
