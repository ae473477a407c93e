"""A sample: all figures of one moment, as they are stored and shown."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class GroupFigures:
    """A consumer group's lag: the number of offsets, and the age of the oldest unprocessed record in seconds."""

    lag: int
    #: None if no record waits, or if the age is unknown.
    age: float | None = None

    @property
    def lag_seconds(self) -> float | None:
        """The age, 0 if no record waits; None if it is unknown."""
        return self.age if self.lag else 0.0


@dataclass
class CaseFigures:
    """Numbers of waiting cases by age, answered cases by outcome, and undelivered notices by cause."""

    #: Waiting cases by age: "under 1 hour", ...
    waiting: dict[str, int] = field(default_factory=dict)
    #: Waiting cases whose time limit is over.
    overdue: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    #: Notices that failed, bounced or were suppressed, by cause.
    undelivered: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """The number of waiting cases."""
        return sum(self.waiting.values())


@dataclass
class TableFigures:
    """An Iceberg table: numbers of rows and snapshots, and the time of the last snapshot (seconds since 1970)."""

    rows: int
    snapshots: int
    committed_at: float


@dataclass
class LakeFigures:
    """The lake: rows by folder, the last object, the tables and the last audit. Times are in seconds since 1970."""

    rows: dict[str, int] = field(default_factory=dict)
    last_object: str = ""
    last_object_at: float | None = None
    tables: dict[str, TableFigures] = field(default_factory=dict)
    audited_at: float | None = None
    audit_ok: bool | None = None
    #: Number of mail log lines, by topic and status.
    mails: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Sample:
    """The figures of one moment. A part that couldn't be read is None or empty, and `problems` has the reason."""

    #: Seconds since 1970.
    at: float
    #: Sum of the end offsets of each topic: records and transaction markers.
    topics: dict[str, int] = field(default_factory=dict)
    groups: dict[str, GroupFigures] = field(default_factory=dict)
    #: Number of rows of files that were read, by outcome: fraud, nonFraud, rejected.
    produced: dict[str, int] = field(default_factory=dict)
    #: Number of dead letters that were not produced again, by topic and reason.
    dead_letters: dict[str, dict[str, int]] = field(default_factory=dict)
    cases: CaseFigures | None = None
    lake: LakeFigures | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def dead(self) -> int:
        """The number of dead letters that were not produced again."""
        return sum(sum(reasons.values()) for reasons in self.dead_letters.values())

    def to_json(self) -> str:
        """The sample as it is stored."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Sample | None":
        """Inverse of :meth:`to_json`; None if another version with other figures wrote the text."""
        content: dict[str, Any] = json.loads(text)
        try:
            groups = {name: GroupFigures(**group) for name, group in content.pop("groups").items()}
            cases, lake = content.pop("cases"), content.pop("lake")
            if lake:
                lake["tables"] = {folder: TableFigures(**table) for folder, table in lake["tables"].items()}
            return cls(
                **content,
                groups=groups,
                cases=CaseFigures(**cases) if cases else None,
                lake=LakeFigures(**lake) if lake else None,
            )
        except (KeyError, TypeError):
            return None
