"""Reads the topics for the audit: all records that a read_committed reader gets, up to the topics' ends."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fraudstream.cases.answers.order import CaseOrder, Place
from fraudstream.cases.answers.staff import staff_decisions
from fraudstream.kafka.avro.codec import Codec, DecodedMessages
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    NON_FRAUD_TRANSACTION,
    Partition,
)
from fraudstream.kafka.topic.definitions import FOLDERS
from fraudstream.lake.audit.contents import Span
from fraudstream.lake.audit.offsets import NO_OFFSETS, Offsets
from fraudstream.lake.audit.reader import Reader, dead, read_letters
from fraudstream.lake.stream.totals import Totals, totals_of
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

#: Topics with a folder in the lake, in the order of their definitions: answers before cases.
TOPICS = tuple(FOLDERS)
#: Topics that are read from the start of their spans. The others are read from the beginning.
_FROM_SPANS = frozenset({NON_FRAUD_TRANSACTION, CASE_EVENT})


class FirstAnswer(NamedTuple):
    """The answer that counts for a case. `answered_at` is in ms since 1970."""

    status: str
    answered_at: int


@dataclass(slots=True)
class TopicPartitionContent:
    """The offsets of a topic-partition's records from `begin` up to `end`.

    Records before `begin` are deleted, or were audited before.
    """

    begin: int
    end: int
    offsets: Offsets
    #: Records that are dead letters.
    dead: Offsets
    #: Answers that aren't the first one to their case, and aren't staff decisions.
    late: Offsets
    #: Control totals of the expected records in the span; None: there is no span.
    totals: Totals | None = None

    @property
    def expected(self) -> Offsets:
        """The offsets of the records that the lake must have once each, and the mail log for topics with mails."""
        return np.setdiff1d(self.offsets, np.union1d(self.dead, self.late), assume_unique=True)


@dataclass(slots=True)
class TopicsContent:
    """The content of all topics, each read up to its end."""

    partitions: dict[Partition, TopicPartitionContent] = field(default_factory=dict)
    #: The record timestamp of each fraud transaction in ms since 1970, by the case's id.
    cases: dict[str, int] = field(default_factory=dict)
    #: The first answer to each case, including cases without a fraud transaction.
    answers: dict[str, FirstAnswer] = field(default_factory=dict)
    #: The number of staff decisions, all of which count.
    decisions: int = 0

    @property
    def open(self) -> list[str]:
        """The ids of cases without an answer."""
        return sorted(self.cases.keys() - self.answers.keys())

    @property
    def unknown(self) -> list[str]:
        """The ids of cases that have an answer but no fraud transaction."""
        return sorted(self.answers.keys() - self.cases.keys())


class Answers:
    """Determines which answers count: the first one to each case, and all staff decisions. The others are `late`."""

    def __init__(self, content: TopicsContent) -> None:
        self._content = content
        #: Append time, partition and offset of the first answer to each case. If partitions were added to the topic,
        #: the answers to a case may be in two partitions.
        self._firsts: dict[str, Place] = {}
        self._order = CaseOrder()
        self._decisions: set[Place] = set()
        self.late: dict[Partition, list[int]] = defaultdict(list)

    def add(self, partition: Partition, decoded: DecodedMessages) -> None:
        """Adds records of one partition of fraud_confirmation. They must be passed in offset order."""
        rows = decoded.rows
        columns = (rows["idTransaction"], rows["status"], rows["answeredAt"].cast(pa.int64()))
        values = (column.to_pylist() for column in columns)
        for message, staff, case, *answer in zip(decoded.valid, staff_decisions(rows).tolist(), *values, strict=True):
            place = (int(message.timestamp()[1]), partition.number, int(message.offset() or 0))
            place = self._order.place(case, place, self._firsts.get(case))
            if staff:
                self._decisions.add(place)
            before = self._firsts.setdefault(case, place)
            first = place <= before
            if first:
                self._firsts[case], self._content.answers[case] = place, FirstAnswer(*answer)
            if place != before and (later := before if first else place) not in self._decisions:
                _, number, offset = later
                self.late[Partition(partition.topic, number)].append(offset)
        self._content.decisions = len(self._decisions)


def read_topics(settings: Settings, spans: Mapping[Partition, Span] | None = None) -> TopicsContent:
    """Reads the topics. Commits nothing and joins no group.

    Topics non_fraud_transaction and case_event are read from the start of their spans. The two topics of cases, a
    thousandth of the records, are read completely: nothing else shows which answer to a case came first.

    :param spans: the spans whose contents are compared, by topic-partition; None: no contents are compared, and all
        topics are read completely
    :raises KafkaUnavailable: the brokers don't answer
    :raises KafkaError: a topic doesn't exist or can't be read
    """
    content = TopicsContent()
    spans = spans or {}
    for topic in TOPICS:
        letters, _ = read_letters(settings, topic)
        starts = {partition: span.start for partition, span in spans.items() if topic in _FROM_SPANS}
        read = Reader(settings, topic, starts)
        found_dead: dict[Partition, list[Offsets]] = defaultdict(list)
        rows_of: dict[Partition, list[tuple[Offsets, pa.RecordBatch]]] = defaultdict(list)
        totals: dict[Partition, Totals] = defaultdict(Totals)
        codec = Codec.for_topic(topic, settings)
        parts: dict[Partition, list[Offsets]] = defaultdict(list)
        answers = Answers(content)
        for partition, messages in read:
            offsets = np.fromiter((message.offset() for message in messages), np.int64, len(messages))
            parts[partition].append(offsets)
            is_dead = dead(messages, offsets, letters.get(partition, {}))
            found_dead[partition].append(offsets[is_dead])
            if topic in _FROM_SPANS and partition not in spans:
                continue
            # Dead letters aren't decoded: the registry may have their schemas by now, which would make them valid.
            decoded = codec.decode_messages(list(compress(messages, ~is_dead)))
            valid = np.fromiter((message.offset() for message in decoded.valid), np.int64, len(decoded.valid))
            if topic in _FROM_SPANS:
                totals[partition] += _totals(spans[partition], valid, decoded.rows, NO_OFFSETS)
            else:
                rows_of[partition].append((valid, decoded.rows))
            if topic == FRAUD_TRANSACTION:
                cases = decoded.rows["idTransaction"].to_pylist()
                content.cases.update(zip(cases, (message.timestamp()[1] for message in decoded.valid), strict=True))
            elif topic == FRAUD_CONFIRMATION:
                answers.add(partition, decoded)
        for partition, (begin, end) in read.bounds.items():
            late = np.asarray(answers.late[partition], np.int64)
            for valid, batch in rows_of.get(partition, []) if partition in spans else []:
                totals[partition] += _totals(spans[partition], valid, batch, late)
            start = max(begin, spans[partition].start) if partition in spans else begin
            content.partitions[partition] = TopicPartitionContent(
                start,
                end,
                _from(start, np.concatenate([NO_OFFSETS, *parts[partition]])),
                _from(start, np.concatenate([NO_OFFSETS, *found_dead[partition]])),
                _from(start, late),
                totals[partition] if partition in spans else None,
            )
        log.info("topic %s: %d records", topic, sum(len(array) for arrays in parts.values() for array in arrays))
    return content


def _from(start: int, offsets: Offsets) -> Offsets:
    return offsets[offsets >= start]


def _totals(span: Span, offsets: Offsets, rows: pa.RecordBatch, without: Offsets) -> Totals:
    inside = span.of(offsets) & ~np.isin(offsets, without)
    return totals_of(offsets[inside], rows.filter(pa.array(inside)))
