"""A sample: all figures of one moment, as they are kept and shown."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class GroupFigures:
    """What a consumer group has not processed: offsets, and the age of the oldest record in seconds."""

    lag: int
    #: None: nothing waits.
    age: float | None = None


@dataclass
class CaseFigures:
    """Cases that wait by age, answered ones by outcome, and notices that reached nobody."""

    #: By age: "under 1 hour", ...
    waiting: dict[str, int] = field(default_factory=dict)
    #: Of these, those whose time is over.
    overdue: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    #: Notices that failed, bounced or were suppressed.
    undelivered: dict[str, int] = field(default_factory=dict)

    @property
    def open(self) -> int:
        """All that wait."""
        return sum(self.waiting.values())


@dataclass
class TableFigures:
    """An Iceberg table: rows and snapshots, and when the last one was made (seconds since 1970)."""

    rows: int
    snapshots: int
    committed_at: float


@dataclass
class LakeFigures:
    """Rows by folder, the last object, the tables, the last audit; times in seconds since 1970."""

    rows: dict[str, int] = field(default_factory=dict)
    last_object: str = ""
    last_object_at: float | None = None
    tables: dict[str, TableFigures] = field(default_factory=dict)
    audited_at: float | None = None
    audit_ok: bool | None = None
    #: Lines of the mail log, by topic and status.
    mails: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass
class Sample:
    """One moment. A part that couldn't be read is None or empty, and `problems` says why."""

    #: Seconds since 1970.
    at: float
    #: Sum of the end offsets of each topic: records and transaction markers.
    topics: dict[str, int] = field(default_factory=dict)
    groups: dict[str, GroupFigures] = field(default_factory=dict)
    #: Rows of files that were produced, by what became of them: fraud, nonFraud, rejected.
    produced: dict[str, int] = field(default_factory=dict)
    #: Dead letters that were not produced again, by topic and reason.
    dead_letters: dict[str, dict[str, int]] = field(default_factory=dict)
    cases: CaseFigures | None = None
    lake: LakeFigures | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def dead(self) -> int:
        """All dead letters."""
        return sum(sum(reasons.values()) for reasons in self.dead_letters.values())

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Sample | None":
        """Inverse of :meth:`to_json`; None: another version's, of other figures."""
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
