"""Fixtures that tests of the redrive share."""

import pytest
from fraudstream.kafka.dead_letters import redrive as module

from tests.unit.kafka.dead_letters.memory_redrive import Brokers, Codec, Producer


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    brokers = Brokers(7)
    monkeypatch.setattr(module, "_IN_ONE_TRANSACTION", 3)
    monkeypatch.setattr(module, "Producer", lambda config: Producer(brokers))
    monkeypatch.setattr(module, "read_dead_letters", brokers.read)
    monkeypatch.setattr(module.Connection, "open", lambda *_: None)
    monkeypatch.setattr(module.time, "sleep", brokers.slept.append)
    monkeypatch.setattr(module.Codec, "for_topic", lambda topic, settings: Codec(brokers))
    return brokers
