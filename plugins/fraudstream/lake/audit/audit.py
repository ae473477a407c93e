"""Whether every record of the topics is in the lake once and has its mail: the proof, from the outside.

1. read the topics to their ends
2. ask where each chain of lake and mail log ends
3. read what lake and mail log hold; what came behind the topics' ends meanwhile is left out
4. compare offset by offset, for each topic-partition

The topics come first, so that whatever is counted there had its chance; a record at or after the end of its chain
is `behind`, not missing: its reader hasn't come to it yet. The chains' ends come before the rows, since readers go on
meanwhile: what is written between the two would be missing below a later end. Only the first answer of a case is
expected; dead letters are not.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.cases.undelivered import read_undelivered
from fraudstream.kafka.records import Partition
from fraudstream.lake.audit.answers import AnswerFigures, answer_figures
from fraudstream.lake.audit.topics import TopicPartitionContent, TopicsContent, read_topics
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.stream.appending import written_end
from fraudstream.lake.stream.names import FOLDER_OF, FOLDERS, MAILS
from fraudstream.lake.stream.offsets import NO_OFFSETS, Offsets, Range, compare, ranges
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

LAKE = "lake"
MAIL = "mail"
#: Cases without an outcome, and answers without a case, that a report names.
_CASES_NAMED = 20
#: How long after its time limit a case may be without an outcome: close_expired_cases runs every hour.
_CLOSED_WITHIN = timedelta(hours=2)


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

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, doubled or there without reason."""
        return not (self.missing_count or self.duplicated_count or self.unexpected_count)


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
    #: What customers answered: the latest days, then all days.
    answers: list[AnswerFigures] = field(default_factory=list)
    #: Fraud notices that didn't reach their customers, by what became of them: failed, bounced, suppressed.
    undelivered: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    #: Cases without an outcome, long after their time was up: nothing waits for them.
    overdue_cases: int = 0
    overdue_case_ids: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every line is, and every case whose time is up has an outcome."""
        return all(line.ok for line in self.lines) and not self.overdue_cases

    def total(self, count: str) -> int:
        """Sum of a count over all lines."""
        return sum(int(getattr(line, count)) for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``ok``, the counts over all lines, cases, what customers answered, each line with its ranges."""
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
            "undelivered_notices": self.undelivered,
            "answers": [figures.to_dict() for figures in self.answers],
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
                }
                for line in self.lines
            ],
        }


def audit(settings: Settings, lake: Lake) -> AuditReport:
    """Compares topics, lake and mail log; changes nothing anywhere.

    :raises KafkaUnavailable, SchemaRegistryError, LakeError: one of the sides can't be read
    """
    started = time.monotonic()
    # 1. topics
    topics = read_topics(settings)
    # 2. to 4.
    report = compare_with_lake(topics, lake, started, settings.confirmation_time_limit)
    return replace(report, undelivered=read_undelivered(settings))


def compare_with_lake(
    topics: TopicsContent, lake: Lake, started: float, time_limit: timedelta = timedelta.max
) -> AuditReport:
    """Steps 2 to 4 for what the topics held; `time_limit` is that of a case."""
    # 2. ends of the chains
    ends = {
        (partition, folder): written_end(lake.store, folder, partition, partial(lake.tables.offsets, folder))
        for partition in topics.partitions
        for folder in (FOLDER_OF[partition.topic], MAILS)
    }
    # 3. lake and mail log
    rows: dict[Partition, Offsets] = {}
    for folder in FOLDERS:
        if folder != MAILS:
            rows |= _offsets_in(lake, folder)
    mail = _offsets_in(lake, MAILS)
    # 4. compare
    lines = []
    for partition, content in sorted(topics.partitions.items()):
        for target, folder, found in ((LAKE, FOLDER_OF[partition.topic], rows), (MAIL, MAILS, mail)):
            there = found.get(partition, NO_OFFSETS)
            lines.append(_compared(partition, target, content, there, ends[partition, folder]))
    unanswered, unknown = topics.open, topics.unknown
    up_since = time.time() - _CLOSED_WITHIN.total_seconds() - time_limit.total_seconds()
    overdue = [case for case in unanswered if topics.cases[case] / 1000 < up_since]
    return AuditReport(
        lines,
        len(unanswered),
        unanswered[:_CASES_NAMED],
        len(unknown),
        unknown[:_CASES_NAMED],
        answer_figures(topics.cases, topics.answers),
        seconds=time.monotonic() - started,
        overdue_cases=len(overdue),
        overdue_case_ids=overdue[:_CASES_NAMED],
    )


def _compared(
    partition: Partition, target: str, content: TopicPartitionContent, found: Offsets, chain_end: int
) -> AuditLine:
    # What retention deleted from the topic can't be held against it, nor what came while the audit ran.
    known = found[(content.begin <= found) & (found < content.end)]
    expected = content.expected
    difference = compare(expected, known)
    behind = difference.missing >= chain_end
    missing = difference.missing[~behind]
    return AuditLine(
        partition,
        target,
        len(expected),
        len(known),
        int(behind.sum()),
        len(missing),
        len(difference.duplicated),
        len(difference.unexpected),
        ranges(missing, expected),
        ranges(difference.duplicated, np.unique(known)),
        ranges(difference.unexpected, np.unique(known)),
        len(content.dead),
        len(content.late),
    )


def _offsets_in(lake: Lake, folder: str) -> dict[Partition, Offsets]:
    """Offsets of all rows of a folder, an offset as often as it is there."""
    parts: dict[Partition, list[Offsets]] = defaultdict(list)
    for rows in read_rows(lake, folder, ["topic", "partition", "offset"]):
        for partition, offsets in _by_partition(rows):
            parts[partition].append(offsets)
    found = {partition: np.concatenate(arrays) for partition, arrays in parts.items()}
    log.info("folder %s/: %d rows", folder, sum(map(len, found.values())))
    return found


def _by_partition(rows: pa.Table) -> Iterator[tuple[Partition, Offsets]]:
    offsets = rows["offset"].to_numpy()
    numbers = rows["partition"].to_numpy()
    for topic in pc.unique(rows["topic"]).to_pylist():
        of_topic = pc.equal(rows["topic"], topic).to_numpy()
        for number in np.unique(numbers[of_topic]).tolist():
            yield Partition(topic, number), offsets[of_topic & (numbers == number)]
