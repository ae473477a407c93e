"""Which offsets a group commits, which records its sink gets, and the effects of assigned and revoked partitions."""

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import KafkaUnavailable, LakeUnavailable
from fraudstream.kafka.consume import subscription
from fraudstream.kafka.consume.message_consumer import Failure
from fraudstream.kafka.records import Batch, Partition
from fraudstream.kafka.topic import group_offsets
from fraudstream.settings import Settings

from tests.unit.kafka.memory_group import (
    APPENDED,
    Broker,
    Durable,
    FakeConsumer,
    FakeDeadLetters,
    FakeSink,
    records_of,
    subscribe,
)

NEVER = 10**9


class HoldsBack(FakeSink):
    """A sink whose flush makes all but the last batch durable."""

    def flush(self) -> dict[Partition, int]:
        kept, self.waiting = self.waiting[-1:], self.waiting[:-1]
        durable = super().flush()
        self.waiting = kept
        return durable


def test_what_is_not_durable_is_not_committed_even_at_the_end_of_the_partition(monkeypatch):
    broker, durable = Broker({0: [b"a", b"b", b"c"]}, poll=1), Durable()
    subscribe(monkeypatch, broker, HoldsBack(durable, every=NEVER)).run()
    assert durable.ends == {0: 2}
    assert broker.committed == {0: 2}


def test_where_all_is_durable_the_end_behind_transaction_markers_is_committed(monkeypatch):
    broker = Broker({0: [b"a", b"b"]})
    broker.markers = 1
    subscribe(monkeypatch, broker, FakeSink(Durable())).run()
    assert broker.committed == {0: 3}


def test_records_behind_a_dead_letter_keep_their_offsets_and_times(monkeypatch):
    written: list[Batch] = []
    sink = FakeSink(Durable())
    monkeypatch.setattr(sink, "write", written.append)
    broker = Broker({0: [b"a", b"poison", b"b"]})
    subscribe(monkeypatch, broker, sink, FakeDeadLetters()).run()
    (batch,) = written
    assert batch.rows["value"].to_pylist() == ["a", "b"]
    assert (batch.offsets.tolist(), batch.next_offset) == ([0, 2], 3)
    assert batch.timestamps.tolist() == [APPENDED, APPENDED + 2]


def test_records_of_a_partition_that_is_not_owned_do_not_reach_the_sink(monkeypatch):
    broker, durable = Broker({0: [b"a"]}), Durable()
    broker.before_read = lambda consumer: ({7: records_of(0, [b"of another member"])}, [])
    assert subscribe(monkeypatch, broker, FakeSink(durable)).run().records == 1
    assert durable.values == {0: ["a"]}


def test_a_partition_that_grows_behind_its_end_is_read_to_the_new_end(monkeypatch):
    broker, durable = Broker({0: [b"0"], 1: [b"a", b"b", b"c"]}, poll=1), Durable()
    sink = FakeSink(durable, every=1)
    write = sink.write

    def grows(batch: Batch) -> None:
        write(batch)
        if batch.partition.number == 0 and batch.next_offset == 1:
            broker.logs[0] += [b"1", b"2", b"3", b"4"]

    monkeypatch.setattr(sink, "write", grows)
    subscribe(monkeypatch, broker, sink).run()
    assert durable.values == {0: ["0", "1", "2", "3", "4"], 1: ["a", "b", "c"]}


def test_the_end_that_a_partition_had_before_it_was_assigned_does_not_count(monkeypatch):
    broker, durable = Broker({0: [b"0", b"1", b"2"]}, poll=1), Durable()
    reads = iter(range(NEVER))

    def end_of_earlier_times(consumer: FakeConsumer):
        return {}, [Failure(0, 10, Code(Code._PARTITION_EOF))] if next(reads) == 0 else []

    broker.before_read = end_of_earlier_times
    broker.empty_assignments = 1
    subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert durable.values == {0: ["0", "1", "2"]}


def test_a_run_ends_after_its_longest_time_with_what_was_read_made_durable(monkeypatch):
    broker, durable = Broker({0: [b"a"] * 1_000}, poll=1), Durable()
    running = subscribe(monkeypatch, broker, FakeSink(durable, every=NEVER))
    running._until = "forever"
    running._max_seconds = 20
    now = iter(range(NEVER))  # each look at the clock advances it by a second
    monkeypatch.setattr(subscription, "time", SimpleNamespace(monotonic=lambda: next(now)))
    read = running.run().records
    assert 0 < read < 20
    assert (durable.ends, broker.committed) == ({0: read}, {0: read})


def given_away(broker: Broker, how: str, seen: list[dict[int, list[str]]], durable: Durable) -> None:
    """Revokes all partitions of the member at its third read, and records what is durable then."""
    reads = iter(range(NEVER))

    def before_read(consumer: FakeConsumer):
        if next(reads) == 2:
            consumer.callbacks[how](consumer, consumer.assigned)
            seen.append({number: list(values) for number, values in durable.values.items()})
            assert consumer.assigned == []
        return {}, []

    broker.before_read = before_read


def test_what_was_read_is_durable_and_committed_before_partitions_go_to_others(monkeypatch):
    broker, durable, seen = Broker({0: [b"0", b"1", b"2", b"3"]}, poll=1), Durable(), []
    given_away(broker, "revoke", seen, durable)
    subscribe(monkeypatch, broker, FakeSink(durable, every=NEVER)).run()
    assert seen == [{0: ["0", "1"]}]
    assert durable.values == {0: ["0", "1", "2", "3"]}


def test_partitions_that_others_have_already_are_not_flushed_and_what_was_read_of_them_is_forgotten(monkeypatch):
    broker, durable, seen = Broker({0: [b"0", b"1", b"2", b"3"]}, poll=1), Durable(), []
    given_away(broker, "lost", seen, durable)
    sink = FakeSink(durable, every=NEVER)
    report = subscribe(monkeypatch, broker, sink).run()
    assert seen == [{}]
    assert durable.values == {0: ["0", "1", "2", "3"]}  # assigned again, and read again from the start
    assert report.records == 6


def test_a_run_that_failed_makes_nothing_durable_when_it_leaves(monkeypatch):
    broker, durable = Broker({0: [b"0", b"1"]}, poll=1), Durable()
    sink = FakeSink(durable, every=1)
    flush, flushes = sink.flush, iter(range(NEVER))

    def fails_once() -> dict[Partition, int]:
        if next(flushes) == 0:
            raise LakeUnavailable("the store is away")
        return flush()

    monkeypatch.setattr(sink, "flush", fails_once)
    with pytest.raises(LakeUnavailable):
        subscribe(monkeypatch, broker, sink).run()
    assert (durable.values, broker.committed) == ({}, {})
    assert next(flushes) == 1


def test_a_group_whose_offset_is_not_told_does_not_begin_anew(monkeypatch):
    broker, durable = Broker({0: [b"a"], 1: [b"b", b"c"]}), Durable()
    broker.uncertain[1] = Code(Code.UNSTABLE_OFFSET_COMMIT, "in doubt")
    with pytest.raises(KafkaUnavailable, match=r"asking where group .* is in .*\[1\].*in doubt"):
        subscribe(monkeypatch, broker, FakeSink(durable)).run()
    assert durable.ends == {}


def test_a_coordinator_that_does_not_answer_is_told_with_the_group(monkeypatch):
    def committed(consumer, partitions, timeout):
        raise KafkaException(Code(Code._TIMED_OUT))

    monkeypatch.setattr(FakeConsumer, "committed", committed)
    with pytest.raises(KafkaUnavailable, match=r"asking where group .* is in topic\[0\]"):
        subscribe(monkeypatch, Broker({0: [b"a"]}), FakeSink(Durable())).run()


def test_a_groups_offset_that_is_not_told_is_not_missing(monkeypatch):
    asked = SimpleNamespace(
        committed=lambda places, timeout: [SimpleNamespace(error=Code(Code.UNSTABLE_OFFSET_COMMIT), offset=-1001)],
        close=lambda: None,
    )
    monkeypatch.setattr(group_offsets, "Consumer", lambda config: asked)
    with pytest.raises(KafkaException):
        group_offsets.committed_offsets(Settings(), "group", [Partition("topic", 0)])
