"""A record counts as a dead letter only after the brokers have acknowledged its letter."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import KafkaRefused, KafkaUnavailable
from fraudstream.kafka.dead_letters import DeadLetters, producer
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.settings import Settings

LETTER = DeadLetter(Partition(FRAUD_TRANSACTION, 2), 7, 1_696_118_400_000, b"k", b"v", (), "r")


class Producer:
    """Has room for two letters, and gives each delivery the report that the test sets."""

    room = 2
    report: Code | None = None
    unanswered = 0
    refuses: Code | None = None
    made: "Producer"

    def __init__(self, config: dict[str, Any]) -> None:
        assert config["enable.idempotence"] is True
        self.waiting: list[Any] = []
        self.sent = 0
        Producer.made = self

    def produce(self, topic: str, on_delivery: Any, **message: Any) -> None:
        assert topic == "fraud_transaction.dead_letter"
        if self.refuses is not None:
            raise KafkaException(self.refuses)
        if len(self.waiting) >= self.room:
            raise BufferError
        self.waiting.append(on_delivery)

    def poll(self, seconds: float) -> None:
        self.flush(seconds)

    def flush(self, seconds: float) -> int:
        for delivered in self.waiting:
            delivered(self.report, SimpleNamespace(topic=lambda: "fraud_transaction.dead_letter"))
            self.sent += self.report is None
        self.waiting = []
        return self.unanswered


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> DeadLetters:
    monkeypatch.setattr(producer, "Producer", Producer)
    for name in ("report", "refuses"):
        monkeypatch.setattr(Producer, name, None)
    monkeypatch.setattr(Producer, "unanswered", 0)
    return DeadLetters(Settings())


def test_however_many_there_are_each_is_sent(letters: DeadLetters) -> None:
    for _ in range(5):
        letters.put(LETTER)
    letters.flush()
    assert Producer.made.sent == 5


def test_one_that_the_brokers_refuse_is_told_with_its_topic(
    letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Producer, "report", Code(Code.TOPIC_AUTHORIZATION_FAILED))
    letters.put(LETTER)
    with pytest.raises(KafkaRefused, match=r"writing a dead letter to fraud_transaction\.dead_letter"):
        letters.flush()


def test_one_without_an_answer_is_not_sent(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Producer, "unanswered", 1)
    letters.put(LETTER)
    with pytest.raises(KafkaUnavailable, match="1 dead letters are without an answer after 60 s"):
        letters.flush()


def test_a_client_that_ended_is_an_outage_that_a_new_run_survives(
    letters: DeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Producer, "refuses", Code(Code._FATAL, "out of sequence"))
    with pytest.raises(KafkaUnavailable, match=r"fraud_transaction\.dead_letter.*out of sequence"):
        letters.put(LETTER)
