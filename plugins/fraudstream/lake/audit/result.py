"""What an audit found: a line for each topic-partition and target, checks, and cases without an outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fraudstream.kafka.records import Partition
from fraudstream.lake.audit.checks import Check
from fraudstream.lake.audit.offsets import Offsets, Range
from fraudstream.lake.audit.position import Position
from fraudstream.lake.audit.topics import TopicsContent

LAKE = "lake"
MAIL = "mail"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One topic-partition against one target; counts of records, ranges of offsets (first, last)."""

    partition: Partition
    target: str
    expected: int
    found: int
    behind: int
    missing_count: int
    duplicated_count: int
    unexpected_count: int
    missing: list[Range]
    duplicated: list[Range]
    unexpected: list[Range]
    dead_letters: int
    late: int
    #: Control totals that differ, by name: the topic's and the target's.
    changed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: First and last offset that they were compared of.
    compared: Range | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, doubled, there without reason or changed."""
        return not (self.missing_count or self.duplicated_count or self.unexpected_count or self.changed)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Result of an audit."""

    lines: list[AuditLine]
    #: Fraud transactions that no answer is there for.
    open_cases: int
    open_case_ids: list[str] = field(default_factory=list)
    #: Answers to cases that there is no fraud transaction for: kept, and nobody's outcome.
    unknown_cases: int = 0
    unknown_case_ids: list[str] = field(default_factory=list)
    #: Fraud notices that didn't reach their customers, by what became of them: failed, bounced, suppressed.
    undelivered: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    #: Cases without an outcome, long after their time was up: nothing waits for them.
    overdue_cases: int = 0
    overdue_case_ids: list[str] = field(default_factory=list)
    #: Offsets of mails that won't be tried again, by the topic-partition of their records.
    failed_mails: Mapping[Partition, Offsets] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    #: What was read of the topics.
    topics: TopicsContent = field(default_factory=TopicsContent)
    #: Where the next audit continues if this one is green.
    position: Position = field(default_factory=Position)

    @property
    def ok(self) -> bool:
        """Whether every line and every check is, and every case whose time is up has an outcome."""
        return all(line.ok for line in self.lines) and all(check.ok for check in self.checks) and not self.overdue_cases

    def total(self, count: str) -> int:
        """Sum of a count over all lines."""
        return sum(int(getattr(line, count)) for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``ok``, the counts over all lines, cases, checks, each line with its ranges."""
        return {
            "ok": self.ok,
            "missing": self.total("missing_count"),
            "duplicated": self.total("duplicated_count"),
            "unexpected": self.total("unexpected_count"),
            "behind": self.total("behind"),
            "late": sum(line.late for line in self.lines if line.target == LAKE),
            "dead_letters": sum(line.dead_letters for line in self.lines if line.target == LAKE),
            "open": self.open_cases,
            "open_cases": self.open_case_ids,
            "overdue": self.overdue_cases,
            "overdue_cases": self.overdue_case_ids,
            "unknown": self.unknown_cases,
            "unknown_cases": self.unknown_case_ids,
            "staff_decisions": self.topics.decisions,
            "undelivered_notices": self.undelivered,
            "changed": sum(bool(line.changed) for line in self.lines),
            "checks": [check.to_dict() for check in self.checks],
            "seconds": round(self.seconds, 1),
            "lines": [
                {
                    "topic": line.partition.topic,
                    "partition": line.partition.number,
                    "target": line.target,
                    "expected": line.expected,
                    "found": line.found,
                    "behind": line.behind,
                    "missing": line.missing,
                    "duplicated": line.duplicated,
                    "unexpected": line.unexpected,
                    "dead_letters": line.dead_letters,
                    "late": line.late,
                    "changed": {name: list(pair) for name, pair in line.changed.items()},
                    "compared": line.compared,
                }
                for line in self.lines
            ],
        }
