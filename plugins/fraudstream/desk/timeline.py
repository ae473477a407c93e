"""The time line of one transaction: what was found of it, in the order in which it happened, and what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a transaction.

    `place` says where it is recorded: a partition and offset of a topic, an object or a table of the lake.
    """

    what: str
    text: str
    at: datetime | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """A step that should be there by now or is still to come, and where to look for the reason."""

    what: str
    look: str


@dataclass(slots=True)
class Timeline:
    """All steps of a transaction. `searched` lists the places that were searched, and how much of each was read."""

    id_transaction: str
    steps: list[Step] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    searched: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Whether anything is known of the transaction."""
        return bool(self.steps)

    def add(self, what: str, text: str, at: datetime | None = None, place: str = "") -> None:
        """Adds a step that was found."""
        self.steps.append(Step(what, text, at, place))

    def miss(self, what: str, look: str) -> None:
        """Adds a step that was not found."""
        self.missing.append(Missing(what, look))

    def in_order(self) -> list[Step]:
        """Returns the steps by time. The file's row, which has no time, comes first."""
        return sorted(self.steps, key=lambda step: (step.at is not None, step.at.timestamp() if step.at else 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Returns the time line as JSON values."""
        return {
            "idTransaction": self.id_transaction,
            "steps": [
                {"what": s.what, "text": s.text, "at": s.at.isoformat() if s.at else None, "place": s.place}
                for s in self.in_order()
            ],
            "missing": [{"what": one.what, "look": one.look} for one in self.missing],
            "searched": self.searched,
        }

    def lines(self) -> Iterator[str]:
        """Yields the time line as lines of text."""
        yield f"transaction {self.id_transaction}"
        for step in self.in_order():
            at = f"{step.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC" if step.at else ""
            yield f"{at:27} {step.what:12} {step.text}"
            if step.place:
                yield f"{'':40} {step.place}"
        for one in self.missing:
            yield f"{'not found':27} {one.what}"
            yield f"{'':40} look: {one.look}"
        for text in self.searched:
            yield f"searched: {text}"
