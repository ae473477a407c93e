"""If a partition has no leader, the client may return offset -1001 without an error: this isn't an offset."""

from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_INVALID, TopicPartition
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic import topic_identity, whole_topic
from fraudstream.settings import Settings

PARTITION = Partition("fraud_transaction", 1)


class Admin:
    """Answers with these offsets one after the other."""

    def __init__(self, *offsets: int) -> None:
        self._offsets: Iterator[int] = iter(offsets)
        self.asked_for: list[str] = []

    def list_topics(self, topic: str, **_: Any) -> None:
        self.asked_for.append(topic)

    def list_offsets(self, places: dict[TopicPartition, Any], **_: Any) -> dict[TopicPartition, Future[Any]]:
        answers: dict[TopicPartition, Future[Any]] = {place: Future() for place in places}
        for answer in answers.values():
            answer.set_result(SimpleNamespace(offset=next(self._offsets)))
        return answers


def topics(monkeypatch: pytest.MonkeyPatch, *offsets: int) -> topic_identity.Topics:
    monkeypatch.setattr(topic_identity, "AdminClient", lambda config: Admin(*offsets))
    return topic_identity.Topics(Settings())


def test_a_partition_without_leader_is_no_truncated_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KafkaUnavailable, match=r"no offset of fraud_transaction\[1\] \(found -1001\)"):
        topics(monkeypatch, -1001).end_offset(PARTITION)
    with pytest.raises(KafkaUnavailable):
        topics(monkeypatch, -1001).first_offset(PARTITION)
    assert topics(monkeypatch, 0).end_offset(PARTITION) == 0


def test_the_ends_of_a_topic_with_one_that_has_no_leader_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = topics(monkeypatch, 7, -1001)
    monkeypatch.setattr(asked, "partitions", lambda topic: [Partition(topic, 0), Partition(topic, 1)])
    with pytest.raises(KafkaUnavailable):
        asked.committed_ends("fraud_transaction")


def test_the_leaders_of_a_topic_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin(1, 2, 3, 4)
    monkeypatch.setattr(topic_identity, "AdminClient", lambda config: admin)
    asked = topic_identity.Topics(Settings())
    for topic in ("t", "u"):
        for number in (0, 1):
            asked.end_offset(Partition(topic, number))
    assert admin.asked_for == ["t", "u"]


class Consumer:
    """A consumer of a topic with two partitions, which returns these offsets for a time."""

    def __init__(self, *told: TopicPartition) -> None:
        self.told = told
        self.assigned: list[int] = []

    def list_topics(self, topic: str, **_: Any) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=[0, 1])})

    def offsets_for_times(self, asked: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return list(self.told)

    def assign(self, places: list[TopicPartition]) -> None:
        self.assigned = [place.offset for place in places]

    def poll(self, seconds: float) -> Any:
        raise AssertionError("nothing is read")

    def close(self) -> None:
        """Does nothing."""


def test_where_a_time_begins_in_a_partition_without_leader_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer = Consumer(TopicPartition("t", 0, 7), TopicPartition("t", 1, OFFSET_INVALID))
    monkeypatch.setattr(whole_topic, "Consumer", lambda config: consumer)
    with pytest.raises(KafkaUnavailable, match=r"asking for the first offsets since 2026-01-01"):
        next(whole_topic.records(Settings(), "t", datetime(2026, 1, 1, tzinfo=UTC)))
    assert consumer.assigned == []
