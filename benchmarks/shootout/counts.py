"""Compares the records that a reader found with those that were produced."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Counts:
    """`doubled`: copies beyond the first one; `unknown`: ids that weren't produced, such as those of torn lines."""

    lost: int
    doubled: int
    unknown: int = 0

    @property
    def exact(self) -> bool:
        """Whether each record was found exactly once, and nothing else."""
        return self == Counts(0, 0)


def compare(produced: Sequence[str], found: Iterable[str]) -> Counts:
    """Compares the found ids with the produced ones, which must be unique."""
    copies = Counter(found)
    there = [copies.pop(one, 0) for one in produced]
    return Counts(there.count(0), sum(number - 1 for number in there if number > 1), sum(copies.values()))


@dataclass(frozen=True)
class Outcome:
    """The result of one trial: one subject under one fault.

    `recovered`: seconds from the end of the fault until as many records are visible as were produced at its end; None
    if that didn't happen. `restarts`: how often a process that had ended or was killed was started again.
    """

    subject: str
    fault: str
    seed: int
    counts: Counts | None
    recovered: float | None = None
    peak_mib: float = 0.0
    restarts: int = 0
    notes: list[str] = field(default_factory=list)
    #: The reason if there are no counts.
    error: str = ""
    #: Name and counts of another reader of the same files.
    other: tuple[str, Counts] | None = None

    def document(self) -> dict[str, Any]:
        """The result as it is stored."""
        counted: Mapping[str, Any] = vars(self.counts) if self.counts else {}
        kept = {name: value for name, value in vars(self).items() if name not in {"counts", "other"}}
        other = {self.other[0]: vars(self.other[1])} if self.other else {}
        return {**kept, **counted, **other}

    def cell(self) -> str:
        """Lost and doubled records, for a table."""
        if self.counts is None:
            return "did not run"
        other = f" ({self.other[0]}: {self.other[1].lost:,} / {self.other[1].doubled:,})" if self.other else ""
        return f"{self.counts.lost:,} / {self.counts.doubled:,}{other}"

    def line(self) -> str:
        """The result as a line of text."""
        start = f"{self.subject}, {self.fault}, seed {self.seed}: "
        if self.counts is None:
            return start + f"did not run: {self.error}"
        unknown = f", {self.counts.unknown:,} unknown" if self.counts.unknown else ""
        recovered = "not recovered" if self.recovered is None else f"recovered after {self.recovered:.1f} s"
        rest = f"{recovered}, peak RSS {self.peak_mib:,.0f} MiB, {self.restarts} restarts"
        if self.other:
            rest += f"; by {self.other[0]} {self.other[1].lost:,} lost, {self.other[1].doubled:,} doubled"
        return (
            start
            + f"{self.counts.lost:,} lost, {self.counts.doubled:,} doubled{unknown}; {rest}"
            + "".join(f"; {note}" for note in self.notes)
        )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Lines of a Markdown table with lost / doubled records by subject and fault; commas separate the seeds."""
    faults = list(dict.fromkeys(outcome.fault for outcome in outcomes))
    cells: dict[str, dict[str, list[str]]] = {}
    for outcome in outcomes:
        cells.setdefault(outcome.subject, {}).setdefault(outcome.fault, []).append(outcome.cell())
    rows = [
        f"| {subject} | {' | '.join(', '.join(found.get(fault, ['-'])) for fault in faults)} |"
        for subject, found in cells.items()
    ]
    return [f"| lost / doubled | {' | '.join(faults)} |", f"|{'---|' * (len(faults) + 1)}", *rows]


def verdict(outcomes: Sequence[Outcome], subject: str) -> dict[str, bool]:
    """For each fault whether the subject lost and doubled no record in all trials; a trial without counts fails."""
    holds: dict[str, bool] = {}
    for outcome in outcomes:
        if outcome.subject == subject:
            once = outcome.counts is not None and outcome.counts.exact
            holds[outcome.fault] = holds.get(outcome.fault, True) and once
    return {f"{subject} loses and doubles nothing: {fault}": held for fault, held in holds.items()}
