"""The result of an audit: a line for each topic-partition and target, checks, and cases without an outcome."""

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
    """The comparison of a topic-partition with a target: counts of records, and ranges of offsets (first, last).

    `behind` records are at or after the end of the target's chain: its reader hasn't reached them yet.
    """

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
    #: Control totals that differ, by name: the topic's value and the target's.
    changed: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    #: The range of offsets whose control totals differ; None: they don't differ.
    compared: Range | None = None

    @property
    def ok(self) -> bool:
        """Whether no record is missing, duplicated, unexpected or changed."""
        return not (self.missing_count or self.duplicated_count or self.unexpected_count or self.changed)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit. Lists of case ids have the first ones only."""

    lines: list[AuditLine]
    #: The number of fraud transactions without an answer.
    open_cases: int
    open_case_ids: list[str] = field(default_factory=list)
    #: The number of answered cases without a fraud transaction. The lake keeps their answers.
    unknown_cases: int = 0
    unknown_case_ids: list[str] = field(default_factory=list)
    #: The numbers of fraud notices that failed, bounced and were suppressed.
    undelivered: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    #: The number of cases without an outcome long after their deadline: nothing waits for them any more.
    overdue_cases: int = 0
    overdue_case_ids: list[str] = field(default_factory=list)
    #: Offsets of mails that will not be retried, by the topic-partition of their records.
    failed_mails: Mapping[Partition, Offsets] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    #: The content of the topics.
    topics: TopicsContent = field(default_factory=TopicsContent)
    #: The position at which the next audit continues if this one is green.
    position: Position = field(default_factory=Position)

    @property
    def ok(self) -> bool:
        """Whether all lines and all checks are ok, and no case is overdue."""
        return all(line.ok for line in self.lines) and all(check.ok for check in self.checks) and not self.overdue_cases

    def total(self, count: str) -> int:
        """The sum of a count over all lines.

        :param count: the name of a field of :class:`AuditLine`
        """
        return sum(int(getattr(line, count)) for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as a JSON document: ``ok``, counts over all lines, cases, checks, and each line with ranges."""
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
