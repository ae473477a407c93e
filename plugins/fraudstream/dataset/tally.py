"""Counts rejected rows by reason."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from fraudstream.dataset.lines import Rejected

MOST_FREQUENT = 5
_SHOWN = 36


class Reason(NamedTuple):
    """A reason, the number of rows that were rejected for it, and the line and content of the first one."""

    rule: str
    rows: int
    line: int
    found: str

    def __str__(self) -> str:
        rows = "row" if self.rows == 1 else "rows"
        return f"{self.rows:,} {rows}: {self.rule}; first in line {self.line:,}: {self.found}"


class Tally:
    """Counts rejected rows by the rule that they break."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._first: dict[str, Rejected] = {}

    def add(self, rejected: Iterable[Rejected]) -> None:
        """Counts more rejected rows, which must be in file order."""
        for row in rejected:
            self._counts[row.rule] += 1
            self._first.setdefault(row.rule, row)

    def most_frequent(self) -> list[Reason]:
        """Returns the five most frequent reasons. `found` is cut to 36 characters."""
        return [
            Reason(rule, count, self._first[rule].line, self._first[rule].found[:_SHOWN])
            for rule, count in self._counts.most_common(MOST_FREQUENT)
        ]

    def __str__(self) -> str:
        return ". ".join(map(str, self.most_frequent()))
