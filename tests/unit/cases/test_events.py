"""Events of cases: what is written, and that a call returns only when the brokers have acknowledged it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.cases.events import MAIL_BOUNCED, CaseEvent, CaseEvents, masked
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.client import confirmed_producer
from fraudstream.settings import Settings

EVENT = CaseEvent(
    "tx-1",
    MAIL_BOUNCED,
    "bounces",
    "550 no such user",
    masked("C1231@example.com"),
    {"messageId": "<a@bank.example>"},
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)


class Brokers:
    """Stands for the producer and the brokers."""

    def __init__(self) -> None:
        self.error: Code | None = None
        self.unanswered = False
        self.written: list[tuple[str, bytes, bytes]] = []
        self._reports: list[Callable[..., None]] = []

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, on_delivery: Callable[..., None]) -> None:
        self.written.append((topic, key, value))
        self._reports.append(on_delivery)

    def flush(self, seconds: float) -> int:
        if self.unanswered:
            return len(self._reports)
        for report in self._reports:
            report(self.error, None)
        self._reports.clear()
        return 0


class OneSchema:
    """A registry that knows only the topic's own schema."""

    def identifier(self, topic: str, schema: str) -> int:
        return 7

    def schema(self, identifier: int, topic: str) -> RegisteredSchema | None:
        return RegisteredSchema(schema_text(topic)) if identifier == 7 else None


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    brokers = Brokers()

    def producer(config: dict[str, Any], logger: Any) -> Brokers:
        assert config["acks"] == "all"
        return brokers

    monkeypatch.setattr(confirmed_producer, "Producer", producer)
    monkeypatch.setattr(Codec, "for_topic", lambda topic, settings: Codec(topic, OneSchema()))  # type: ignore[arg-type]
    return brokers


def test_an_event_is_read_back_as_it_was_written(brokers: Brokers) -> None:
    CaseEvents(Settings()).publish([EVENT])
    ((topic, key, value),) = brokers.written
    assert (topic, key) == ("case_event", b"tx-1")
    codec = Codec(topic, OneSchema())  # type: ignore[arg-type]
    codec.encode(EVENT.record())
    assert CaseEvent.of(codec.decode(value)) == EVENT


def test_what_a_mail_server_says_makes_no_dead_letter_of_its_event(brokers: Brokers) -> None:
    CaseEvents(Settings()).publish([replace(EVENT, reason="550 no\0such user", recipient="c\0***@example.com")])
    ((topic, _, value),) = brokers.written
    found = CaseEvent.of(Codec(topic, OneSchema()).decode(value))  # type: ignore[arg-type]
    assert (found.reason, found.recipient) == ("550 no\ufffdsuch user", "c\ufffd***@example.com")


def test_no_address_of_a_customer_is_in_an_event() -> None:
    assert masked("C1231006815@example.com") == "C1***@example.com"
    assert masked("x@example.com") == "x***@example.com"


def test_a_refused_event_fails_the_call_and_the_next_call_succeeds(brokers: Brokers) -> None:
    publisher = CaseEvents(Settings())
    brokers.error = Code(Code._MSG_TIMED_OUT)
    with pytest.raises(KafkaUnavailable, match="case_event"):
        publisher.publish([EVENT])
    brokers.error = None
    publisher.publish([EVENT])


def test_an_event_without_an_answer_fails_the_call(brokers: Brokers) -> None:
    brokers.unanswered = True
    with pytest.raises(KafkaUnavailable, match="1 records for topic case_event"):
        CaseEvents(Settings()).publish([EVENT])
