"""A consumer group in memory: brokers, client, codec, dead letters and a sink, for tests of the engine."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from confluent_kafka import KafkaError as Code
from fraudstream.errors import LakeUnavailable
from fraudstream.kafka.avro.codec import InvalidRecord
from fraudstream.kafka.consume import subscription
from fraudstream.kafka.consume.message_consumer import Failure, Records
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import Batch, Partition
from fraudstream.kafka.topic import topic_identity
from fraudstream.settings import Settings

TOPIC = "topic"
#: Time of the record at offset 0; each further record is a millisecond later.
APPENDED = 1_696_636_800_000


def records_of(first: int, values: list[bytes]) -> Records:
    return Records(
        np.arange(first, first + len(values)),
        APPENDED + np.arange(first, first + len(values)),
        pa.array(values, pa.binary()),
        lambda _: (b"key", [("trace", b"1")]),
    )


class Broker:
    """The logs of partitions, and the group's committed offsets."""

    def __init__(self, logs: dict[int, list[bytes]], poll: int = 3) -> None:
        self.logs = logs
        self.poll = poll
        self.committed: dict[int, int] = {}
        #: By partition: an error of the coordinator instead of an offset.
        self.uncertain: dict[int, Code] = {}
        self.failure: Code | None = None
        #: How many assignments of the new member are empty, because other members still have all partitions.
        self.empty_assignments = 0
        self.group_failure: Code | None = None
        #: The first offset of a partition whose first records were deleted; and the topic's id.
        self.first: dict[int, int] = {}
        self.topic_id = "an id"
        #: The number of transaction markers after the last record of each partition.
        self.markers = 0
        #: The offsets of each partition's dead letters, and whether invalid records have an unknown schema.
        self.letters: dict[int, set[int]] = {}
        self.unknown_schema = False
        #: Called with the consumer before each read; records that it returns are delivered additionally.
        self.before_read: Callable[[FakeConsumer], tuple[dict[int, Records], list[Failure]]] | None = None

    def consumer(self, config: dict[str, object], **_: object) -> "FakeConsumer":
        assert config["isolation.level"] == "read_committed"
        assert config["enable.auto.commit"] is False
        assert config["auto.offset.reset"] == "error"
        return FakeConsumer(self)


class FakeConsumer:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._positions: dict[int, int] = {}
        self._at_end: set[int] = set()
        self._paused: set[int] = set()
        self.forwarded: set[int] = set()

    def list_topics(self, topic, timeout):
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self.callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}

    def committed(self, partitions, timeout):
        return [
            SimpleNamespace(
                topic=p.topic,
                partition=p.partition,
                offset=self._broker.committed.get(p.partition, -1001),
                error=self._broker.uncertain.get(p.partition),
            )
            for p in partitions
        ]

    def get_watermark_offsets(self, partition, timeout):
        return self._broker.first.get(partition.partition, 0), len(self._broker.logs[partition.partition])

    def incremental_assign(self, partitions):
        for place in partitions:
            first = self._broker.first.get(place.partition, 0)
            assert place.offset >= 0 or place.offset == OFFSET_BEGINNING
            self._positions[place.partition] = first if place.offset == OFFSET_BEGINNING else place.offset

    def pause(self, partitions):
        self._paused |= {partition.partition for partition in partitions}

    def resume(self, partitions):
        self._paused -= {partition.partition for partition in partitions}

    def incremental_unassign(self, partitions):
        for partition in partitions:
            assert partition.partition not in self._paused, "the client keeps it paused for its next assignment"
            del self._positions[partition.partition]
            self._at_end.discard(partition.partition)

    @property
    def assigned(self) -> list[TopicPartition]:
        return [partition_of(number) for number in self._positions]

    def poll(self, timeout):
        if self._broker.group_failure is not None:
            return self._broker.group_failure
        if not self._positions:
            given = [] if self._broker.empty_assignments > 0 else [partition_of(number) for number in self._broker.logs]
            self._broker.empty_assignments -= 1
            self.callbacks["assign"](self, given)
        return None

    def read(self):
        if self._broker.failure is not None:
            return {}, [Failure(0, 0, self._broker.failure)]
        if self.poll(0) is not None:
            return {}, [Failure(-1, -1, self._broker.group_failure)]
        found, failures = self._broker.before_read(self) if self._broker.before_read is not None else ({}, [])
        for number, position in self._positions.items():
            assert number in self.forwarded
            if number in self._paused:
                continue
            log = self._broker.logs[number]
            if not self._broker.first.get(number, 0) <= position <= len(log):
                failures.append(Failure(number, position, Code(Code._AUTO_OFFSET_RESET)))
                continue
            part = log[position : position + self._broker.poll]
            if part:
                found[number] = records_of(position, part)
            self._positions[number] = position + len(part)
            if position + len(part) < len(log):
                self._at_end.discard(number)
            elif number not in self._at_end:
                self._at_end.add(number)
                failures.append(Failure(number, len(log) + self._broker.markers, Code(Code._PARTITION_EOF)))
        return found, failures

    def commit(self, offsets, asynchronous):
        self._broker.committed |= {p.partition: p.offset for p in offsets}

    def close(self):
        if self._positions:
            self.callbacks["revoke"](self, self.assigned)


class FakeReader:
    """The reader of a fake consumer."""

    def __init__(self, consumer: FakeConsumer, most: int) -> None:
        self._consumer = consumer

    def forward_queues(self, partitions):
        self._consumer.forwarded |= set(partitions)

    def read(self, seconds):
        return self._consumer.read()

    def close(self):
        pass


def partition_of(number: int):
    return subscription.TopicPartition(TOPIC, number)


class FakeCodec:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def decode_rows(self, values: pa.BinaryArray, timestamps: np.ndarray):
        good = [value.decode() for value in values.to_pylist() if value != b"poison"]
        bad = [
            InvalidRecord(index, "it is poison", unknown_schema=self._broker.unknown_schema)
            for index, value in enumerate(values.to_pylist())
            if value == b"poison"
        ]
        return pa.RecordBatch.from_pydict({"value": good}), bad

    def foreign(self, values: pa.BinaryArray):
        return []


class FakeDeadLetters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []
        self.flushed = 0

    def put(self, letter: DeadLetter) -> None:
        self.letters.append(letter)

    def flush(self):
        self.flushed = len(self.letters)


class FakeKnown:
    """The dead letters that exist already."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def of(self, partition: Partition) -> dict[int, set[int | None]]:
        return {offset: {APPENDED + offset} for offset in self._broker.letters.get(partition.number, set())}

    lately = of

    def close(self) -> None:
        pass


class Durable:
    """The state that survives a crash: values by partition, and the offset from which each partition is read."""

    def __init__(self) -> None:
        self.values: dict[int, list[str]] = {}
        self.ends: dict[int, int] = {}


class FakeSink:
    """Stores its position together with its effect; flush number `fail_at` fails before anything is durable."""

    def __init__(self, durable: Durable, fail_at: int | None = None, every: int = 2) -> None:
        self.durable = durable
        self.waiting: list[Batch] = []
        self.flushes = 0
        self.fail_at = fail_at
        self.every = every
        self.closed = False

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return self.durable.ends.get(partition.number, 0)

    def write(self, batch: Batch) -> None:
        self.waiting.append(batch)

    def due(self) -> bool:
        return len(self.waiting) >= self.every

    def flush(self) -> dict[Partition, int]:
        if self.fail_at is not None and self.waiting:
            self.fail_at -= 1
            if self.fail_at < 0:
                raise LakeUnavailable("the store is away")
        waiting, self.waiting = self.waiting, []
        for batch in waiting:
            self.durable.values.setdefault(batch.partition.number, []).extend(batch.rows.column("value").to_pylist())
            self.durable.ends[batch.partition.number] = batch.next_offset
        return {batch.partition: batch.next_offset for batch in waiting}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.waiting = [batch for batch in self.waiting if batch.partition not in partitions]

    def close(self) -> None:
        self.closed = True


def subscribe(monkeypatch, broker: Broker, sink: FakeSink, letters: FakeDeadLetters | None = None) -> Subscription:
    monkeypatch.setattr(subscription, "Consumer", broker.consumer)
    monkeypatch.setattr(topic_identity, "Topics", lambda settings: SimpleNamespace(id=lambda topic: broker.topic_id))
    monkeypatch.setattr(subscription, "MessageConsumer", FakeReader)
    monkeypatch.setattr(subscription, "KnownDeadLetters", lambda settings, topic: FakeKnown(broker))
    return Subscription(Settings(), TOPIC, "group", sink, FakeCodec(broker), until="caught_up", dead_letters=letters)  # type: ignore[arg-type]
