"""A pipeline with topics in memory and a lake in memory and temporary files, and its audits."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from fraudstream.cases.events import CaseEvent
from fraudstream.cases.undelivered import PlacedEvent, undelivered
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.dead_letters.invalid_records import Places
from fraudstream.kafka.records import CASE_EVENT, MAIL_RETRY, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit import audit as audits
from fraudstream.lake.audit import retries
from fraudstream.lake.audit import topics as reading
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.audit.checks import Limits
from fraudstream.lake.audit.position import Position
from fraudstream.lake.audit.result import AuditReport
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.totals import totals_of
from fraudstream.settings import Settings
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.unit.lake.audit.audited_lake import DAY, mail_line
from tests.unit.lake.rows import MIDNIGHT_MS, batch

NON_FRAUD = Partition(NON_FRAUD_TRANSACTION, 0)
EVENTS = Partition(CASE_EVENT, 0)
RETRIES = Partition(MAIL_RETRY, 0)


@dataclass(frozen=True)
class Message:
    place: int

    def offset(self) -> int:
        return self.place

    def timestamp(self) -> tuple[int, int]:
        return 1, MIDNIGHT_MS


class Read(list[tuple[Partition, list[Message]]]):
    bounds: dict[Partition, tuple[int, int]]


class Brokers:
    """Topics of one partition; the topics of transactions have a record at each offset without a dead letter."""

    def __init__(self) -> None:
        self.end = 0
        self.first = 0
        self.dead: list[int] = []
        #: Dead letters of records of a topic that was deleted since.
        self.of_deleted_topic: dict[int, set[int | None]] = {}
        self.topic_id = "id"
        self.read: list[int] = []
        self.events: list[PlacedEvent] = []
        #: Of mail_retry: the first offset, the group's committed offset, the first recent record, and dead letters.
        self.first_retry = 0
        self.committed_retry = 0
        self.young_retry = 0
        self.dead_retries: list[int] = []

    def id(self, topic: str) -> str:
        return self.topic_id if topic == NON_FRAUD_TRANSACTION else topic

    def partitions(self, topic: str) -> list[Partition]:
        return [Partition(topic, 0)]

    def first_offset(self, partition: Partition) -> int:
        if partition == RETRIES:
            return self.first_retry
        return self.first if partition == NON_FRAUD else 0

    def end_offset(self, partition: Partition) -> int:
        return self.end if partition == NON_FRAUD else 0

    def reader(self, settings, topic, starts=None):
        partition = Partition(topic, 0)
        begin = max(self.first, (starts or {}).get(partition, 0)) if partition == NON_FRAUD else 0
        messages = [Message(offset) for offset in range(begin, self.end_offset(partition))]
        self.read += [message.place for message in messages]

        read = Read([(partition, messages)] if messages else [])
        read.bounds = {partition: (begin, self.end_offset(partition))}
        return read

    def decode_messages(self, messages) -> DecodedMessages:
        valid = [message for message in messages if message.place not in self.dead]
        return DecodedMessages(batch([message.place for message in valid]).rows, valid, [])

    def retry_letters(self, settings, topic, since) -> tuple[dict[Partition, Places], dict[Partition, int]]:
        letters = Partition(f"{topic}.dead_letter", 0)
        new = self.dead_retries[since.get(letters, 0) :]
        return ({RETRIES: {offset: {MIDNIGHT_MS} for offset in new}} if new else {}), {letters: len(self.dead_retries)}

    def letters(self, settings, topic) -> tuple[dict[Partition, Places], dict[Partition, int]]:
        return {NON_FRAUD: self.of_deleted_topic | {offset: {MIDNIGHT_MS} for offset in self.dead}}, {}


class Pipeline:
    """The brokers, the lake and the mail log."""

    def __init__(self) -> None:
        self.brokers = Brokers()
        self.lake = new_lake()
        self.store = self.lake.store

    def goes_on(
        self, records: int, *, without: Iterable[int] = (), changed: int | None = None, failed: int | None = None
    ) -> None:
        """Adds records and writes them as consumers do: `without` some, with a changed value, or with a failed mail."""
        start, self.brokers.end = self.brokers.end, self.brokers.end + records
        kept = [o for o in range(start, self.brokers.end) if o not in {*without, *self.brokers.dead}]
        made = batch(kept, partition=NON_FRAUD)
        body = bytes(lines.transaction(made))
        if changed is not None:
            body = body.replace(f'"M{changed}"'.encode(), b'"another name"')
        mails = b"".join(
            mail_line(NON_FRAUD, offset).replace(b'"sent"', b'"failed"' if offset == failed else b'"sent"')
            for offset in kept
        )
        for folder, content in ((names.TRANSACTIONS, body), (names.MAILS, mails)):
            chain = AppendingChain(self.store, folder, self.brokers, sleep=lambda seconds: None)
            chain.open(NON_FRAUD)
            totals = totals_of(made.offsets, made.rows)
            chain.append(NON_FRAUD, kept[0], self.brokers.end, DAY, igzip.compress(content), totals)
            chain.settle()

    def happens(self, case: str, event_type: str) -> None:
        """Adds an event of a case's fraud notice."""
        event = CaseEvent(case, event_type, "test", details={"kind": "fraud_notice"})
        self.brokers.events.append(PlacedEvent(event, EVENTS, len(self.brokers.events)))

    def audited(self, position: Position | None = None, **limits: int) -> AuditReport:
        self.brokers.read.clear()
        return audit(Settings(), self.lake, position=position, limits=Limits(**limits))


def new_pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """An empty pipeline, which :func:`audit` reads instead of brokers."""
    made = Pipeline()
    brokers = made.brokers
    monkeypatch.setattr(audits, "Topics", lambda settings: brokers)
    monkeypatch.setattr(audits, "read_undelivered", lambda settings: undelivered(brokers.events))
    monkeypatch.setattr(retries, "committed_offsets", lambda *_: {RETRIES: brokers.committed_retry})
    monkeypatch.setattr(retries, "_first_since", lambda *_: {RETRIES: brokers.young_retry})
    monkeypatch.setattr(retries, "read_letters", brokers.retry_letters)
    monkeypatch.setattr(reading, "Reader", brokers.reader)
    monkeypatch.setattr(reading, "read_letters", brokers.letters)
    monkeypatch.setattr(reading, "Codec", SimpleNamespace(for_topic=lambda topic, settings: brokers))
    return made
