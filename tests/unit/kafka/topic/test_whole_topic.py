"""All records of a topic, from its start or from a time to the end of each partition."""

from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError, KafkaRefused, KafkaUnavailable
from fraudstream.kafka.topic import whole_topic
from fraudstream.kafka.topic.whole_topic import records
from fraudstream.settings import Settings

from tests.unit.kafka.topic.memory_topic import TOPIC, MemoryTopic, Record


def read(
    monkeypatch: pytest.MonkeyPatch, topic: MemoryTopic, since: int | None = None
) -> list[tuple[int | None, int | None]]:
    monkeypatch.setattr(whole_topic, "Consumer", topic.client)
    monkeypatch.setattr(whole_topic, "time", topic.clock)
    begin = None if since is None else datetime.fromtimestamp(since, UTC)
    found = [(message.partition(), message.offset()) for message in records(Settings(), TOPIC, begin)]
    assert topic.clients[-1].closed
    return found


def test_every_partition_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic(p0=([0, 1, 3], 5), p1=([], 0), p2=([7], 8))
    assert read(monkeypatch, topic) == [(0, 0), (0, 1), (0, 3), (2, 7)]


def test_a_topic_without_records_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, MemoryTopic(p0=([], 0))) == []


def test_what_comes_to_a_partition_behind_its_end_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic(p0=([0], 1), p1=([0], 1))
    reads = iter(range(10**9))

    def grows() -> None:
        if next(reads) == 2:  # the end of partition 0 was reached
            topic.records[0], topic.ends[0] = [0, 1], 2

    topic.on_read = grows
    assert read(monkeypatch, topic) == [(0, 0), (1, 0)]


def test_since_a_time_means_from_its_first_record_on(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic(p0=([10, 20, 30], 31), p1=([5, 6], 7))
    assert read(monkeypatch, topic, since=20) == [(0, 20), (0, 30)]
    assert read(monkeypatch, topic, since=6) == [(0, 10), (0, 20), (0, 30), (1, 6)]


def test_brokers_that_say_nothing_are_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic(p0=([0], 1))
    topic.silent, topic.clock.step = True, 0.5
    with pytest.raises(KafkaUnavailable, match="no answer about topic payments for 30 s"):
        read(monkeypatch, topic)
    assert topic.clock.now - 1_000 == pytest.approx(30, abs=1)
    assert topic.clients[-1].closed


def test_each_record_begins_the_wait_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic(p0=(list(range(5)), 5))
    topic.slow(20)
    assert len(read(monkeypatch, topic)) == 5


def test_errors_name_the_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = MemoryTopic(p0=([0], 1))
    topic.failure = Record(0, 0, Code(Code.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(KafkaRefused, match="reading topic payments"):
        read(monkeypatch, topic)
    topic.error = Code(Code.UNKNOWN_TOPIC_OR_PART)
    with pytest.raises(KafkaError, match=r"topic payments can't be read: .*; run the DAG start_kafka"):
        read(monkeypatch, topic)
