"""What local.topics reads of a topic while it is written: committed records, also those of the last transaction."""

import time
import uuid
from collections.abc import Iterator
from threading import Timer

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from fraudstream.settings import Settings

from local import topics

pytestmark = pytest.mark.integration


@pytest.fixture
def topic(settings: Settings) -> Iterator[str]:
    """A topic with one partition that no other test uses."""
    name = f"test.topics.{uuid.uuid4().hex[:12]}"
    admin = AdminClient(settings.kafka_config())
    admin.create_topics([NewTopic(name, 1, settings.kafka_replication_factor)])[name].result()
    yield name
    admin.delete_topics([name])[name].result()


@pytest.fixture
def producer(settings: Settings, topic: str) -> Producer:
    """A producer that has committed the record "first" and has "second" in an open transaction."""
    producer = Producer(settings.kafka_config(**{"transactional.id": topic}))
    producer.init_transactions(30)
    for value in ("first", "second"):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(30)
        if value == "first":
            producer.commit_transaction(30)
    return producer


def values(settings: Settings, topic: str, since: dict[int, int] | None = None) -> list[bytes | None]:
    with topics.reader(settings) as reader:
        return [message.value() for message in topics.records(reader, settings, topic, since)]


def test_a_transaction_whose_marker_comes_while_reading_is_read(
    settings: Settings, topic: str, producer: Producer
) -> None:
    marker = Timer(1.5, producer.commit_transaction)
    marker.start()
    assert values(settings, topic) == [b"first", b"second"]
    marker.join()
    assert values(settings, topic, {0: 1}) == [b"second"]


def test_a_transaction_that_stays_open_holds_nobody_up(settings: Settings, topic: str, producer: Producer) -> None:
    started = time.monotonic()
    assert values(settings, topic) == [b"first"]
    assert time.monotonic() - started < 15
    producer.abort_transaction(30)
    assert values(settings, topic) == [b"first"]
