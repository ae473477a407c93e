"""A producer that confirms each record reports what failed, and works again after a fatal error of a client."""

from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.client import confirmed_producer
from fraudstream.kafka.client.confirmed_producer import ConfirmedProducer, Outgoing
from fraudstream.settings import Settings

RECORDS = [Outgoing(b"a", b"1"), Outgoing(b"b", b"2", 3)]


class Brokers:
    """The broker of the fake clients: `failure` affects each record, `fatal` ends the current clients."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, bytes, int]] = []
        self.failure: Code | None = None
        self.unanswered = 0
        self.clients: list[FakeProducer] = []
        self.room = 10**9

    def end_all_clients(self) -> None:
        for client in self.clients:
            client.ended = True


class FakeProducer:
    def __init__(self, brokers: Brokers, config: dict[str, Any]) -> None:
        assert config["enable.idempotence"] is True
        self._brokers = brokers
        self._reports: list[Any] = []
        self.ended = False
        brokers.clients.append(self)

    def __len__(self) -> int:
        return len(self._reports)

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, on_delivery: Any) -> None:
        if self.ended:
            raise KafkaException(Code(Code._FATAL))
        if len(value) > 100:
            raise KafkaException(Code(Code.MSG_SIZE_TOO_LARGE, "Message size too large"))
        if len(self) >= self._brokers.room:
            raise BufferError("Local: Queue full")
        self._brokers.records.append((topic, key, value, partition))
        self._reports.append(on_delivery)

    def poll(self, seconds: float) -> None:
        if not self._brokers.unanswered:
            self.flush(seconds)

    def flush(self, seconds: float) -> int:
        for report in self._reports:
            report(self._brokers.failure, None)
        self._reports.clear()
        return self._brokers.unanswered


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    made = Brokers()
    monkeypatch.setattr(confirmed_producer, "Producer", lambda config, logger: FakeProducer(made, config))
    return made


def test_each_record_is_written_to_its_partition(brokers: Brokers) -> None:
    ConfirmedProducer(Settings(), "topic").write(RECORDS)
    assert brokers.records == [("topic", b"a", b"1", -1), ("topic", b"b", b"2", 3)]


def test_a_record_that_is_not_confirmed_fails_the_call_and_no_later_one(brokers: Brokers) -> None:
    producer = ConfirmedProducer(Settings(), "topic")
    brokers.failure = Code(Code._MSG_TIMED_OUT)
    with pytest.raises(KafkaError, match="topic"):
        producer.write(RECORDS)
    brokers.failure, brokers.unanswered = None, 1
    with pytest.raises(KafkaUnavailable, match="1 records for topic topic are without an answer"):
        producer.write(RECORDS)
    brokers.unanswered = 0
    producer.write(RECORDS)


def test_a_client_that_ended_for_good_is_replaced(brokers: Brokers) -> None:
    producer = ConfirmedProducer(Settings(), "topic")
    brokers.end_all_clients()
    with pytest.raises(KafkaUnavailable):
        producer.write(RECORDS)
    producer.write(RECORDS)
    assert len(brokers.records) == len(RECORDS)
    assert len(brokers.clients) == 2


def test_more_records_than_the_client_has_room_for_wait_for_the_brokers(
    brokers: Brokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers.room = 2
    producer = ConfirmedProducer(Settings(), "topic")
    producer.write(RECORDS * 3)
    assert len(brokers.records) == 6
    brokers.unanswered = 1
    monkeypatch.setattr(confirmed_producer, "_SECONDS", 0)
    with pytest.raises(KafkaUnavailable, match=r"a record for topic topic got no room in the Kafka client .* 2 others"):
        producer.write(RECORDS * 3)


def test_a_record_that_no_try_can_write_is_no_outage(brokers: Brokers) -> None:
    with pytest.raises(KafkaError, match=r"writing to topic topic .*: Message size too large") as raised:
        ConfirmedProducer(Settings(), "topic").write([Outgoing(b"a", b"1" * 101)])
    assert not raised.value.retryable
