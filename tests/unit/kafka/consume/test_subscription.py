"""The engine: every record reaches the sink's durable state despite failures; offsets are never committed earlier."""

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError, KafkaUnavailable, LakeUnavailable, TopicChanged
from fraudstream.kafka.consume import subscription
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import Batch, Partition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.kafka.memory_group import (
    APPENDED,
    TOPIC,
    Broker,
    Durable,
    FakeConsumer,
    FakeDeadLetters,
    FakeSink,
    partition_of,
    subscribe,
)


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
        DeadLetter(Partition(TOPIC, 0), 1, APPENDED + 1, b"key", b"poison", [("trace", b"1")], "it is poison")
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
        consumer.callbacks["assign"](consumer, [partition_of(1)])

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
