import logging
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition
from fraudstream.cases.links.signed import Links
from fraudstream.cases.views import topic_view
from fraudstream.cases.views.case_views import ConfirmationView
from fraudstream.settings import Settings

from tests.unit.cases.views.view_broker import Broker, Record


@pytest.fixture
def keyed() -> Callable[..., Links]:
    """Makes links that are signed with given keys, with an address on this machine."""

    def links(*keys: str, **changes: Any) -> Links:
        return Links(Settings(confirmation_keys=list(keys), **changes))

    return links


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()

    class FakeConsumer:
        def __init__(self, config: dict[str, Any], logger: logging.Logger) -> None:
            assert config["isolation.level"] == "read_committed"
            assert config["enable.auto.commit"] is False
            broker.consumers += 1

        def list_topics(self, topic: str, timeout: float) -> Any:
            if broker.away is not None:
                raise KafkaException(broker.away)
            found = type("Topic", (), {"error": None, "partitions": broker.ends})
            return type("Metadata", (), {"topics": {topic: found}})

        def get_watermark_offsets(self, partition: TopicPartition, timeout: float) -> tuple[int, int]:
            broker.asked.append(("end", partition.partition))
            return 0, broker.ends[partition.partition]

        def offsets_for_times(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
            broker.asked += [("time", p.offset) for p in partitions]
            return [TopicPartition(p.topic, p.partition, broker.young_from) for p in partitions]

        def assign(self, partitions: list[TopicPartition]) -> None:
            broker.assigned = partitions

        def incremental_assign(self, partitions: list[TopicPartition]) -> None:
            broker.assigned = broker.assigned + partitions

        def poll(self, timeout: float) -> Record | None:
            if broker.queue:
                return broker.queue.popleft()
            time.sleep(0.005)
            return None

        def consume(self, number: int, timeout: float) -> list[Record]:
            return [broker.queue.popleft() for _ in range(min(number, len(broker.queue)))]

        def close(self) -> None:
            broker.closed += 1

    class FakeCodec:
        def decode_messages(self, messages: list[Record]) -> Any:
            invalid = [(message, message.content) for message in messages if isinstance(message.content, str)]
            valid = [message for message in messages if not isinstance(message.content, str)]
            return SimpleNamespace(records=[message.content for message in valid], valid=valid, invalid=invalid)

    monkeypatch.setattr(topic_view, "Consumer", FakeConsumer)
    monkeypatch.setattr(topic_view.Codec, "for_topic", lambda topic, settings: FakeCodec())
    monkeypatch.setattr(topic_view, "RETRY_SECONDS", 0.01)
    return broker


@pytest.fixture
def answers(broker: Broker) -> Iterator[ConfirmationView]:
    with ConfirmationView(Settings(), horizon=None) as running:
        yield running
