"""Fixtures that tests of the publisher share."""

from types import SimpleNamespace

import pytest
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.produce import publisher

from tests.unit.kafka.produce.memory_producer import FakeColumns, FakeProducer


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    fake = FakeProducer()
    registry = SimpleNamespace(identifier=lambda topic, schema: 1)
    monkeypatch.setattr(publisher, "Producer", lambda config, logger: fake)
    monkeypatch.setattr(publisher, "ColumnsProducer", FakeColumns)
    monkeypatch.setattr(Codec, "for_topic", lambda topic, settings: Codec(topic, registry))
    monkeypatch.setattr(publisher, "last_progress", lambda settings, codec, beginning: beginning)
    monkeypatch.setattr(publisher, "_CHUNK_ROWS", 2)
    return fake
