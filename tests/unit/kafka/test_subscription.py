"""The engine: every record reaches the sink's durable state, whatever fails, and offsets never run ahead of it."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError, KafkaUnavailable, LakeUnavailable, TopicChanged
from fraudstream.kafka.avro.codec import InvalidRecord
from fraudstream.kafka.consume import subscription
from fraudstream.kafka.consume.message_consumer import Failure, Records
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import Batch, Partition
from fraudstream.kafka.topic import topic_identity
from fraudstream.settings import Settings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOPIC = "topic"


def records_of(first: int, values: list[bytes]) -> Records:
    return Records(
        np.arange(first, first + len(values)),
        np.full(len(values), 1_696_636_800_000),
        pa.array(values, pa.binary()),
        lambda _: (b"key", [("trace", b"1")]),
    )


class Broker:
    """Logs of partitions, and what the group committed."""

    def __init__(self, logs: dict[int, list[bytes]], poll: int = 3) -> None:
        self.logs = logs
        self.poll = poll
        self.committed: dict[int, int] = {}
        self.failure: Code | None = None
        #: How often the group gives its new member nothing, since others still hold all there is.
        self.empty_assignments = 0
        self.group_failure: Code | None = None
        #: First offset that a partition has, where records were deleted; and the topic's id.
        self.first: dict[int, int] = {}
        self.topic_id = "an id"

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
        self.forwarded: set[int] = set()

    def list_topics(self, topic, timeout):
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None)})

    def subscribe(self, topics, on_assign, on_revoke, on_lost):
        self._callbacks = (on_assign, on_revoke)

    def committed(self, partitions, timeout):
        return [
            SimpleNamespace(topic=p.topic, partition=p.partition, offset=self._broker.committed.get(p.partition, -1001))
            for p in partitions
        ]

    def get_watermark_offsets(self, partition, timeout):
        return self._broker.first.get(partition.partition, 0), len(self._broker.logs[partition.partition])

    def incremental_assign(self, partitions):
        for place in partitions:
            first = self._broker.first.get(place.partition, 0)
            assert place.offset >= 0 or place.offset == OFFSET_BEGINNING
            self._positions[place.partition] = first if place.offset == OFFSET_BEGINNING else place.offset

    def incremental_unassign(self, partitions):
        for partition in partitions:
            del self._positions[partition.partition]

    def poll(self, timeout):
        if self._broker.group_failure is not None:
            return self._broker.group_failure
        if not self._positions:
            given = [] if self._broker.empty_assignments > 0 else [_partition(number) for number in self._broker.logs]
            self._broker.empty_assignments -= 1
            self._callbacks[0](self, given)
        return None

    def read(self):
        if self._broker.failure is not None:
            return {}, [Failure(0, 0, self._broker.failure)]
        if self.poll(0) is not None:
            return {}, [Failure(-1, -1, self._broker.group_failure)]
        found, failures = {}, []
        for number, position in self._positions.items():
            assert number in self.forwarded
            log = self._broker.logs[number]
            if not self._broker.first.get(number, 0) <= position <= len(log):
                failures.append(Failure(number, position, Code(Code._AUTO_OFFSET_RESET)))
                continue
            part = log[position : position + self._broker.poll]
            if part:
                found[number] = records_of(position, part)
            self._positions[number] = position + len(part)
            if position + len(part) == len(log) and number not in self._at_end:
                self._at_end.add(number)
                failures.append(Failure(number, len(log), Code(Code._PARTITION_EOF)))
        return found, failures

    def commit(self, offsets, asynchronous):
        self._broker.committed |= {p.partition: p.offset for p in offsets}

    def close(self):
        if self._positions:
            self._callbacks[1](self, [_partition(number) for number in self._positions])


class FakeReader:
    """What is read of a consumer."""

    def __init__(self, consumer: FakeConsumer, most: int) -> None:
        self._consumer = consumer

    def forward_queues(self, partitions):
        self._consumer.forwarded |= set(partitions)

    def read(self, seconds):
        return self._consumer.read()

    def close(self):
        pass


def _partition(number: int):
    return subscription.TopicPartition(TOPIC, number)


class FakeCodec:
    def decode_rows(self, values: pa.BinaryArray, timestamps: np.ndarray):
        good = [value.decode() for value in values.to_pylist() if value != b"poison"]
        bad = [
            InvalidRecord(index, "it is poison") for index, value in enumerate(values.to_pylist()) if value == b"poison"
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
    """The dead letters that lie there already."""

    def __init__(self, settings: Settings, topic: str) -> None:
        assert topic == TOPIC

    def of(self, partition: Partition) -> set[int]:
        return set()

    def close(self) -> None:
        pass


class Durable:
    """What outlives a crash: values by partition, and where each partition's reading goes on."""

    def __init__(self) -> None:
        self.values: dict[int, list[str]] = {}
        self.ends: dict[int, int] = {}


class FakeSink:
    """Remembers its position beside its effect; `fail_at` is the flush that fails before anything is durable."""

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
    monkeypatch.setattr(subscription, "KnownDeadLetters", FakeKnown)
    return Subscription(Settings(), TOPIC, "group", sink, FakeCodec(), until="caught_up", dead_letters=letters)  # type: ignore[arg-type]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=3),
    poll=st.integers(1, 5),
    every=st.integers(1, 4),
    failures=st.lists(st.integers(0, 4), max_size=4),
)
def test_nothing_is_lost_or_doubled_when_flushes_fail(monkeypatch, sizes, poll, every, failures):
    logs = {number: [f"{number}-{i}".encode() for i in range(size)] for number, size in enumerate(sizes)}
    broker, durable = Broker(logs, poll), Durable()
    for fail_at in [*failures, None]:
        sink = FakeSink(durable, fail_at, every)
        try:
            subscribe(monkeypatch, broker, sink).run()
        except LakeUnavailable:
            assert all(offset <= max(durable.ends.get(n, 0), 0) for n, offset in broker.committed.items() if logs[n])
        assert sink.closed
    assert {n: values for n, values in durable.values.items() if values} == {
        n: [value.decode() for value in log] for n, log in logs.items() if log
    }
    assert broker.committed == {n: len(log) for n, log in logs.items() if log}


def test_poison_goes_to_the_dead_letters_before_the_offset_moves(monkeypatch):
    broker, durable, letters = Broker({0: [b"a", b"poison", b"b"]}), Durable(), FakeDeadLetters()
    report = subscribe(monkeypatch, broker, FakeSink(durable), letters).run()
    assert (durable.values, durable.ends) == ({0: ["a", "b"]}, {0: 3})
    assert letters.letters == [
        DeadLetter(Partition(TOPIC, 0), 1, 1_696_636_800_000, b"key", b"poison", [("trace", b"1")], "it is poison")
    ]
    assert letters.flushed == 1
    assert (report.records, report.invalid) == (2, 1)


def test_a_group_that_sends_no_dead_letters_says_what_it_passed_over(monkeypatch, caplog):
    broker, durable = Broker({0: [b"poison"]}), Durable()
    subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert "topic[0] offset 0 is passed over by group group: it is poison" in caplog.text
    assert durable.ends == {0: 1}


def test_stop_finishes_what_is_at_hand(monkeypatch):
    broker, durable = Broker({0: [b"a"] * 100}, poll=1), Durable()
    sink = FakeSink(durable, every=1)
    running = subscribe(monkeypatch, broker, sink)
    running._until = "forever"
    write = sink.write

    def stop_after_five(batch: Batch) -> None:
        write(batch)
        if batch.next_offset == 5:
            running.stop()

    sink.write = stop_after_five  # type: ignore[method-assign]
    running.run()
    assert durable.ends == {0: 5}
    assert broker.committed == {0: 5}


def test_what_the_group_gives_to_a_member_that_is_leaving_is_left_to_others(monkeypatch):
    def given_more(consumer: FakeConsumer) -> None:
        consumer.committed = lambda *_, **__: pytest.fail("asked while it closes")  # type: ignore[method-assign]
        consumer._callbacks[0](consumer, [_partition(1)])

    monkeypatch.setattr(FakeConsumer, "close", given_more)
    durable = Durable()
    subscribe(monkeypatch, Broker({0: [b"a"]}), FakeSink(durable)).run()
    assert durable.ends == {0: 1}


def test_an_error_of_a_partition_ends_the_run_with_its_name(monkeypatch):
    broker = Broker({0: [b"a"]})
    broker.failure = Code(Code.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaError, match=r"topic\[0\] in group group"):
        subscribe(monkeypatch, broker, FakeSink(Durable())).run()


def test_a_member_that_is_given_nothing_at_first_waits_for_its_share(monkeypatch):
    broker, durable = Broker({0: [b"a"]}), Durable()
    broker.empty_assignments = 3
    report = subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert (report.records, durable.ends) == (1, {0: 1})


def test_a_member_that_no_partition_is_left_for_ends_after_a_while(monkeypatch):
    monkeypatch.setattr(subscription, "_SHARE_WITHIN_SECONDS", 0.1)
    broker = Broker({0: [b"a"]})
    broker.empty_assignments = 10**9
    assert subscribe(monkeypatch, broker, FakeSink(Durable())).run().records == 0


def test_an_error_of_the_group_ends_the_run_with_its_name(monkeypatch):
    broker = Broker({0: [b"a"]})
    broker.group_failure = Code(Code.GROUP_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaError, match=r"reading topic in group group"):
        subscribe(monkeypatch, broker, FakeSink(Durable())).run()


def test_a_partition_that_ends_before_the_groups_offset_is_not_read(monkeypatch):
    broker, durable = Broker({0: [b"0", b"1"]}), Durable()
    durable.ends[0] = 5
    with pytest.raises(TopicChanged, match=r"topic\[0\]: group group is at offset 5, .* from 0 to 2: .*rebase topic"):
        subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert durable.values == {}
    assert broker.committed == {}


def test_records_that_are_deleted_before_they_were_read_are_counted_and_the_rest_is_read(monkeypatch, caplog):
    broker, durable = Broker({0: [b"0", b"1", b"2", b"3"]}), Durable()
    durable.ends[0] = 1
    broker.first[0] = 3
    report = subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert durable.values == {0: ["3"]}
    assert report.taken_by_retention == 2
    assert "up to 2 records that group group never read are deleted, offsets 1 to 2" in caplog.text


def test_a_partition_that_loses_records_while_it_is_read_ends_the_run_and_the_next_one_counts_them(monkeypatch):
    broker, durable = Broker({0: [b"0", b"1", b"2", b"3"]}, poll=1), Durable()
    sink = FakeSink(durable, every=1)
    write = sink.write

    def deleted_meanwhile(batch: Batch) -> None:
        write(batch)
        broker.first[0] = 3

    sink.write = deleted_meanwhile
    with pytest.raises(KafkaUnavailable, match="begins behind offset 1"):
        subscribe(monkeypatch, broker, sink).run()
    report = subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert durable.values == {0: ["0", "3"]}
    assert report.taken_by_retention == 2


def test_a_topic_that_is_made_anew_while_it_is_read_ends_the_run(monkeypatch):
    broker, durable = Broker({0: [b"0", b"1"]}, poll=1), Durable()
    monkeypatch.setattr(subscription, "_REPORT_SECONDS", 0.0)
    sink = FakeSink(durable)
    write = sink.write

    def made_anew(batch: Batch) -> None:
        write(batch)
        broker.topic_id = "another id"

    sink.write = made_anew
    with pytest.raises(TopicChanged, match="its id was an id and is another id"):
        subscribe(monkeypatch, broker, sink).run()
