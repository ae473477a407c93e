"""Counts records one by one as they arrive: cases, answers, events, dead letters, and the producer's progress.

There are few of them: about one transaction in a thousand is a case, and dead letters are exceptions. The counts are
kept in memory. When the process starts, the topics are read again from their beginning.
"""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.cases.answers.order import CaseOrder, Place, place_of
from fraudstream.cases.answers.staff import STAFF
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.events import MAIL_RESENT, NOTICE_ACCEPTED, UNDELIVERED, CaseEvent
from fraudstream.cases.expiry import GRACE
from fraudstream.cases.undelivered import NAMES
from fraudstream.errors import KafkaUnavailable, RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.dead_letters.letters import DeadLetter, letters_of
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    Partition,
)
from fraudstream.kafka.topic.definitions import TOPICS
from fraudstream.kafka.topic.topic_reader import GROUP
from fraudstream.pipeline.sampling.sample import CaseFigures
from fraudstream.settings import Settings

_BATCH = 2_000
#: Groups of waiting cases by age, with their upper limits in seconds.
AGES = {"under 1 hour": 3600, "1 to 6 hours": 6 * 3600, "6 to 24 hours": 24 * 3600, "over 24 hours": float("inf")}

_DEAD_LETTER_TOPICS = tuple(topic.name for topic in TOPICS if topic.name.endswith(".dead_letter"))
_DECODED = (FRAUD_TRANSACTION, FRAUD_CONFIRMATION, CASE_EVENT, INGEST_PROGRESS)
FOLLOWED = (*_DECODED, *_DEAD_LETTER_TOPICS)


class _Answer(NamedTuple):
    """An answer: append time, partition and offset; its status; whether it is a staff decision."""

    place: Place
    status: str
    staff: bool


@dataclass
class Counted:
    """The state that follows from the records, in whatever order the topics are read. It needs no connection."""

    #: Time of each case's record, in seconds since 1970.
    cases: dict[str, float] = field(default_factory=dict)
    #: The answer that counts of each case, see :mod:`fraudstream.cases.answers.staff`.
    answers: dict[str, _Answer] = field(default_factory=dict)
    order: CaseOrder = field(default_factory=CaseOrder)
    events: dict[str, str] = field(default_factory=dict)
    #: Time at which a mail server accepted the first notice of each case: the customer's time limit begins then.
    accepted: dict[str, float] = field(default_factory=dict)
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    #: The reason of each dead letter, by partition, offset and timestamp of the record: a topic that was recreated has
    #: other records at the same offsets. None after the letter was produced again.
    letters: dict[tuple[Partition, int, int | None], str | None] = field(default_factory=dict)

    def take_record(self, message: Message, record: Mapping[str, Any]) -> None:
        """Counts a decoded record."""
        topic = message.topic()
        if topic == FRAUD_TRANSACTION:
            self.cases.setdefault(record["idTransaction"], message.timestamp()[1] / 1000)
        elif topic == FRAUD_CONFIRMATION:
            status, staff = record["status"], record.get("channel") == STAFF
            self._take_answer(record["idTransaction"], place_of(message), status, staff)
        elif topic == CASE_EVENT:
            event = CaseEvent.of(record)
            if event.event_type == NOTICE_ACCEPTED:
                self.accepted.setdefault(event.id_transaction, event.at.timestamp())
            elif event.event_type == MAIL_RESENT:
                self.events.pop(event.id_transaction, None)
            elif event.event_type in UNDELIVERED and event.details.get("kind") == "fraud_notice":
                self.events[event.id_transaction] = event.event_type
        elif topic == INGEST_PROGRESS:
            self.files[record["file"] or record["source"]] = record

    def _take_answer(self, case: str, place: Place, status: str, staff: bool) -> None:
        before = self.answers.get(case)
        place = self.order.place(case, place, before and before.place)
        if before is None or staff > before.staff:
            counts = True
        else:  # the last staff decision counts, or without one the first answer
            counts = staff == before.staff and (before.place < place) == staff
        if counts:
            self.answers[case] = _Answer(place, status, staff)

    def take_letter(self, message: Message) -> None:
        """Counts a record of a dead-letter topic."""
        if message.topic() == INGEST_DEAD_LETTER:
            letters = iter([DeadLetter.of_rejected_row(message)])
        else:
            letters = letters_of([message])
        for letter in letters:
            place = (Partition(message.topic() or "", letter.partition.number), letter.offset, letter.timestamp)
            if letter.redriven_at is not None:
                # A marker of an older version has no timestamp: it stands for all letters of its offset.
                known = [one for one in self.letters if one[:2] == place[:2]] if letter.timestamp is None else []
                self.letters |= dict.fromkeys([place, *known])
            elif self.letters.get(place, "") is not None:
                self.letters[place] = letter.kind

    def case_figures(self, now: float, time_limit: float) -> CaseFigures:
        """The waiting cases by age, the answered ones by outcome, and the undelivered notices.

        :param now: seconds since 1970
        :param time_limit: the customers' time limit in seconds
        """
        waiting = dict.fromkeys(AGES, 0)
        overdue = 0
        for case in self.cases.keys() - self.answers.keys():
            age = now - self.cases[case]
            waiting[next(name for name, end in AGES.items() if age < end)] += 1
            ends = deadline(self.cases[case] + time_limit, self.accepted.get(case), time_limit)
            overdue += now > ends + GRACE.total_seconds()
        outcomes = Counter(answer.status for case, answer in self.answers.items() if case in self.cases)
        undelivered = Counter(NAMES[event] for event in self.events.values())
        return CaseFigures(waiting, overdue, dict(outcomes), dict(undelivered))

    def dead_letters(self) -> dict[str, dict[str, int]]:
        """The number of dead letters that weren't produced again, by dead-letter topic and reason."""
        found: dict[str, Counter[str]] = {}
        for (partition, *_), reason in self.letters.items():
            if reason is not None:
                found.setdefault(partition.topic, Counter())[reason] += 1
        return {topic: dict(reasons) for topic, reasons in found.items()}

    def produced(self) -> dict[str, int]:
        """The number of rows of all files, by outcome: fraud, nonFraud or rejected."""
        return {
            name: sum(int(file[name]) for file in self.files.values()) for name in ("fraud", "nonFraud", "rejected")
        }


class Followed:
    """Reads the topics from their beginning and counts their records. To be used from one thread."""

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._codecs = {topic: Codec.for_topic(topic, settings) for topic in _DECODED}
        self._consumer = Consumer(
            settings.kafka_config(
                **{
                    "error_cb": self._connection.on_error,
                    "group.id": GROUP,  # nothing joins it, nothing is committed to it
                    "isolation.level": "read_committed",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "auto.offset.reset": "earliest",
                    "queued.max.messages.kbytes": 8192,
                }
            )
        )
        #: The offset up to which each partition is read.
        self._reached: dict[Partition, int] = {}
        self.counted = Counted()

    def close(self) -> None:
        """Closes the connections to the brokers."""
        self._consumer.close()

    def read(self, ends: Mapping[Partition, int], seconds: float) -> bool:
        """Counts new records for at most `seconds`. Returns whether all records before `ends` are counted.

        :param ends: the present end offsets of the followed topics' partitions
        :raises KafkaUnavailable: a topic was recreated or truncated: what is counted includes records that are gone
        :raises KafkaError: the brokers don't answer or refuse, or the registry doesn't
        """
        until = time.monotonic() + seconds
        for partition, end in ends.items():
            if (reached := self._reached.get(partition, 0)) > end:
                raise KafkaUnavailable(
                    f"{partition} ends at offset {end}, but the records before offset {reached} are counted: the topic "
                    f"was recreated or truncated. The next sample counts from the beginning of the topics"
                )
        added = [partition for partition in ends if partition not in self._reached]
        if added:
            self._consumer.incremental_assign([TopicPartition(*partition, OFFSET_BEGINNING) for partition in added])
            self._reached |= dict.fromkeys(added, 0)
        while not (done := all(self._reached[one] >= end for one, end in ends.items())) and time.monotonic() < until:
            self._take(self._consumer.consume(_BATCH, 0.1))
        return done

    def _take(self, messages: list[Message]) -> None:
        records: dict[str, list[Message]] = {}
        for message in messages:
            topic, error = message.topic() or "", message.error()
            partition, offset = Partition(topic, message.partition() or 0), message.offset() or 0
            if error is None:
                records.setdefault(topic, []).append(message)
                self._reached[partition] = offset + 1
            elif error.code() == Code._PARTITION_EOF:
                self._reached[partition] = offset
            elif not error.retriable():
                raise self._connection.error(KafkaException(error), doing=f"reading topic {topic}")
        for topic, found in records.items():
            if topic in self._codecs:
                decoded = self._codecs[topic].decode_messages(found)
                for message, record in zip(decoded.valid, decoded.records, strict=True):
                    with suppress(ValueError):  # an event of another program may have details that aren't JSON
                        self.counted.take_record(message, record)
                continue
            for message in found:
                try:
                    self.counted.take_letter(message)
                except RecordError:
                    continue  # another program wrote it
