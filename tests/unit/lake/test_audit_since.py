"""An audit from the last green one on, with topics in memory."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from fraudstream.kafka.avro.codec import DecodedMessages
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.audit import audit as audits
from fraudstream.lake.audit import topics as reading
from fraudstream.lake.audit.audit import LAKE, AuditReport, audit
from fraudstream.lake.audit.checks import Limits
from fraudstream.lake.audit.position import Position
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import totals_of
from fraudstream.settings import Settings
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.unit.lake.rows import MIDNIGHT_MS, batch
from tests.unit.lake.test_audit import DAY, lines, mail_line

NON_FRAUD = Partition(NON_FRAUD_TRANSACTION, 0)
TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_CONFIRMATION, FRAUD_TRANSACTION)


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
    """Topics of one partition, the transactions with records at each offset but the dead ones."""

    def __init__(self) -> None:
        self.end = 0
        self.first = 0
        self.dead: list[int] = []
        self.topic_id = "id"
        self.read: list[int] = []

    def id(self, topic: str) -> str:
        return self.topic_id if topic == NON_FRAUD_TRANSACTION else topic

    def partitions(self, topic: str) -> list[Partition]:
        return [Partition(topic, 0)]

    def first_offset(self, partition: Partition) -> int:
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


class Pipeline:
    """Brokers, the lake and the mail log."""

    def __init__(self) -> None:
        self.brokers = Brokers()
        self.lake = new_lake()
        self.store = self.lake.store

    def goes_on(self, records: int, *, without=(), changed: int | None = None) -> None:
        """So many more records, written by their readers without some of them and with a value changed."""
        start, self.brokers.end = self.brokers.end, self.brokers.end + records
        kept = [o for o in range(start, self.brokers.end) if o not in {*without, *self.brokers.dead}]
        made = batch(kept, partition=NON_FRAUD)
        body = bytes(lines.transaction(made))
        if changed is not None:
            body = body.replace(f'"M{changed}"'.encode(), b'"another name"')
        mails = b"".join(mail_line(NON_FRAUD, offset) for offset in kept)
        for folder, content in ((names.TRANSACTIONS, body), (names.MAILS, mails)):
            chain = AppendingChain(self.store, folder, self.brokers, sleep=lambda seconds: None)
            chain.open(NON_FRAUD)
            totals = totals_of(made.offsets, made.rows)
            chain.append(NON_FRAUD, kept[0], self.brokers.end, DAY, igzip.compress(content), totals)
            chain.settle()

    def audited(self, position: Position | None = None, **limits: int) -> AuditReport:
        self.brokers.read.clear()
        return audit(Settings(), self.lake, position=position, limits=Limits(**limits))


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    made = Pipeline()
    brokers = made.brokers
    monkeypatch.setattr(audits, "Topics", lambda settings: brokers)
    monkeypatch.setattr(audits, "read_undelivered", lambda settings: {})
    monkeypatch.setattr(reading, "_Reader", brokers.reader)
    monkeypatch.setattr(
        reading, "_dead_letters", lambda settings, topic: {NON_FRAUD: np.asarray(brokers.dead, np.int64)}
    )
    monkeypatch.setattr(reading, "Codec", SimpleNamespace(for_topic=lambda topic, settings: brokers))
    return made


def red(report: AuditReport) -> list[str]:
    return [check.name for check in report.checks if not check.ok]


def test_what_a_green_audit_saw_is_not_read_again(pipeline):
    pipeline.goes_on(20)
    first = pipeline.audited()
    assert first.ok, first.to_dict()
    pipeline.goes_on(5)
    second = pipeline.audited(first.position)
    assert second.ok
    assert pipeline.brokers.read == list(range(20, 25))
    assert [line.expected for line in second.lines if line.partition == NON_FRAUD] == [5, 5]
    assert pipeline.audited(second.position).ok
    assert pipeline.brokers.read == []


def test_a_record_that_is_lost_or_changed_after_a_green_audit_makes_the_next_one_red(pipeline):
    pipeline.goes_on(20)
    green = pipeline.audited().position
    pipeline.goes_on(5, without=[22])
    lost = pipeline.audited(green)
    assert not lost.ok
    assert [line.missing for line in lost.lines if line.partition == NON_FRAUD] == [[(22, 22)], [(22, 22)]]
    pipeline.goes_on(5, changed=27)
    changed = pipeline.audited(replace(green, ends={**green.ends, NON_FRAUD: 25}))
    assert not changed.ok
    (line,) = [line for line in changed.lines if line.partition == NON_FRAUD and line.target == LAKE]
    assert (line.missing_count, set(line.changed)) == (0, {"nameDest"})


def test_a_topic_with_another_id_is_red_and_audited_from_its_beginning(pipeline):
    pipeline.goes_on(20)
    green = pipeline.audited().position
    pipeline.brokers.topic_id = "anew"
    report = pipeline.audited(green)
    assert red(report) == ["topic-partitions recreated or truncated"]
    assert pipeline.brokers.read == list(range(20))


def test_a_topic_that_ends_before_the_chain_is_red(pipeline):
    pipeline.goes_on(20)
    pipeline.brokers.end = 12
    assert red(pipeline.audited()) == ["topic-partitions recreated or truncated"]


def test_dead_letters_are_red_above_their_limit_and_only_new_ones_count(pipeline):
    pipeline.brokers.dead = [3, 7]
    pipeline.goes_on(20)
    assert red(pipeline.audited()) == ["dead letters"]
    accepted = pipeline.audited(dead_letters=2)
    assert accepted.ok
    pipeline.goes_on(5)
    assert pipeline.audited(accepted.position).ok


def test_records_that_retention_took_unread_are_red(pipeline):
    pipeline.goes_on(20)
    for folder in (names.TRANSACTIONS, names.MAILS):
        there = progress.load(pipeline.store, folder, NON_FRAUD)
        progress.save(pipeline.store, folder, NON_FRAUD, Progress(there.end, there.generation, "id", taken=3))
    assert red(pipeline.audited()) == ["records that retention took unread"]
    assert pipeline.audited(retention_gaps=6).ok
