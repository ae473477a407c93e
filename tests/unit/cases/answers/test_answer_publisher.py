import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from fraudstream.cases.answers import publisher as answer_publisher
from fraudstream.cases.answers.publisher import AnswerPublisher, DecidedBy, shared_publisher
from fraudstream.errors import AnswerUnknown, KafkaRefused, KafkaUnavailable, RecordError
from fraudstream.settings import Settings

from tests.fakes.cases import transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Broker:
    """The broker of the fake producers; `deliver` decides about each record."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.producers = 0
        self.deliver: Callable[[], Code | None] = lambda: None
        self.produce_error: Exception | None = None
        self.silent = False


class Message:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 4

    def offset(self) -> int:
        return self._offset


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()

    class FakeProducer:
        def __init__(self, config: dict[str, Any], logger: Any) -> None:
            assert config["acks"] == "all"
            assert config["enable.idempotence"] is True
            self._reports: deque[Callable[[], None]] = deque()
            broker.producers += 1

        def produce(self, topic: str, key: str, value: Any, on_delivery: Any) -> None:
            if broker.produce_error is not None:
                raise broker.produce_error
            broker.sent.append({"topic": topic, "key": key, "value": value})
            offset = len(broker.sent) - 1
            self._reports.append(lambda: on_delivery(broker.deliver(), Message(offset)))

        def poll(self, timeout: float) -> int:
            threading.Event().wait(0.005)
            while self._reports and not broker.silent:
                self._reports.popleft()()
            return 0

        def __len__(self) -> int:
            return len(self._reports)

        def flush(self, timeout: float) -> int:
            return self.poll(timeout)

    class FakeCodec:
        def encode(self, record: dict[str, Any]) -> Any:
            if "amount" not in record:
                raise RecordError("no amount")
            return record

    monkeypatch.setattr(answer_publisher, "Producer", FakeProducer)
    monkeypatch.setattr(answer_publisher.Codec, "for_topic", lambda topic, settings: FakeCodec())
    return broker


@pytest.fixture
def publisher(broker: Broker) -> Iterator[AnswerPublisher]:
    with AnswerPublisher(Settings()) as running:
        yield running


def publish(publisher: AnswerPublisher, case: str = "a") -> tuple[int, int]:
    return asyncio.run(asyncio.wait_for(publisher.publish("REPORTED_FRAUD", transaction(case), NOW), 5))


def test_an_answer_carries_its_transaction_under_its_cases_key(broker: Broker, publisher: AnswerPublisher) -> None:
    assert publish(publisher) == (4, 0)
    (sent,) = broker.sent
    assert (sent["topic"], sent["key"]) == ("fraud_confirmation", "a")
    assert sent["value"] == {
        **transaction("a"),
        "status": "REPORTED_FRAUD",
        "answeredAt": NOW,
        "channel": "LINK",
        "decidedBy": None,
        "reason": None,
    }


def test_the_channel_says_how_an_answer_came(broker: Broker, publisher: AnswerPublisher) -> None:
    decided = DecidedBy("ana", "called")
    asyncio.run(publisher.publish("NO_RESPONSE", transaction("a"), NOW))
    asyncio.run(publisher.publish("REPORTED_FRAUD", transaction("a"), NOW, decided))
    said = [(sent["value"]["channel"], sent["value"]["decidedBy"], sent["value"]["reason"]) for sent in broker.sent]
    assert said == [("TIMEOUT", None, None), ("STAFF", "ana", "called")]


def test_it_returns_only_after_the_brokers_confirmed(broker: Broker, publisher: AnswerPublisher) -> None:
    confirmed = threading.Event()

    def slowly() -> None:
        confirmed.wait(5)

    broker.deliver = slowly

    async def run() -> None:
        publishing = asyncio.create_task(publisher.publish("NO_RESPONSE", transaction(), NOW))
        await asyncio.sleep(0.05)
        assert broker.sent
        assert not publishing.done()
        confirmed.set()
        await asyncio.wait_for(publishing, 5)

    asyncio.run(run())


@pytest.mark.parametrize("code", [Code._MSG_TIMED_OUT, Code.REQUEST_TIMED_OUT, Code.NOT_ENOUGH_REPLICAS_AFTER_APPEND])
def test_whether_an_answer_is_recorded_that_is_not_acknowledged_is_unknown_and_it_may_be_given_again(
    broker: Broker, publisher: AnswerPublisher, code: int
) -> None:
    broker.deliver = lambda: Code(code)
    with pytest.raises(AnswerUnknown, match="fraud_confirmation") as failed:
        publish(publisher)
    assert failed.value.retryable
    broker.deliver = lambda: None
    assert publish(publisher) == (4, 1)


def test_an_answer_that_was_not_sent_is_known_not_to_be_recorded(broker: Broker, publisher: AnswerPublisher) -> None:
    broker.produce_error = BufferError("Local: Queue full")
    with pytest.raises(KafkaUnavailable, match="too many answers") as full:
        publish(publisher)
    broker.produce_error = None
    broker.deliver = lambda: Code(Code.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaRefused) as refused:
        publish(publisher)
    assert not isinstance(full.value, AnswerUnknown)
    assert not isinstance(refused.value, AnswerUnknown)


def test_a_producer_that_ended_is_replaced(broker: Broker, publisher: AnswerPublisher) -> None:
    broker.produce_error = KafkaException(Code(Code._FATAL))
    with pytest.raises(KafkaUnavailable):
        publish(publisher)
    broker.produce_error = None
    assert publish(publisher) == (4, 0)
    assert broker.producers == 2


def test_who_waits_for_an_answer_of_a_producer_that_ended_hears_of_it(
    broker: Broker, publisher: AnswerPublisher
) -> None:
    async def run() -> tuple[int, int]:
        broker.silent = True
        waiting = asyncio.create_task(publisher.publish("REPORTED_FRAUD", transaction("a"), NOW))
        await asyncio.sleep(0.02)
        assert broker.sent
        broker.produce_error = KafkaException(Code(Code._FATAL))
        with pytest.raises(KafkaUnavailable):
            await publisher.publish("REPORTED_FRAUD", transaction("b"), NOW)
        await asyncio.sleep(0.02)  # now the thread polls another producer
        broker.silent = False
        return await asyncio.wait_for(waiting, 3)

    assert asyncio.run(run()) == (4, 0)


def test_what_is_no_transaction_is_refused_before_anything_is_sent(broker: Broker, publisher: AnswerPublisher) -> None:
    with pytest.raises(RecordError):
        asyncio.run(publisher.publish("REPORTED_FRAUD", {"idTransaction": "a"}, NOW))
    assert broker.sent == []


def test_a_caller_that_is_cancelled_harms_no_other(broker: Broker, publisher: AnswerPublisher) -> None:
    async def run() -> tuple[int, int]:
        leaving = asyncio.create_task(publisher.publish("REPORTED_FRAUD", transaction("a"), NOW))
        await asyncio.sleep(0.02)
        leaving.cancel()
        return await asyncio.wait_for(publisher.publish("REPORTED_FRAUD", transaction("b"), NOW), 5)

    assert asyncio.run(run())[0] == 4


def test_several_event_loops_publish_at_once(broker: Broker, publisher: AnswerPublisher) -> None:
    places: list[tuple[int, int]] = []
    threads = [threading.Thread(target=lambda n=n: places.append(publish(publisher, f"case-{n}"))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(offset for _, offset in places) == list(range(20))


def test_only_the_first_answer_asks_the_registry_and_no_visitor_waits_for_that(
    broker: Broker, publisher: AnswerPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[threading.Thread] = []
    made = answer_publisher.Codec.for_topic("fraud_confirmation", Settings())

    def for_topic(topic: str, settings: Settings) -> Any:
        asked.append(threading.current_thread())
        return made

    monkeypatch.setattr(answer_publisher.Codec, "for_topic", for_topic)
    publish(publisher)
    publish(publisher, "b")
    (thread,) = asked
    assert thread is not threading.main_thread(), "the event loop runs there"


def test_brokers_that_do_not_answer_a_check_are_told(
    publisher: AnswerPublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(topic: str, seconds: float) -> None:
        raise KafkaException(Code(Code._TRANSPORT, "connection refused"))

    monkeypatch.setattr(publisher._producer, "list_topics", away, raising=False)
    with pytest.raises(KafkaUnavailable, match=r"not confirmed by Kafka .*connection refused.*; the answer can be"):
        asyncio.run(publisher.check())
    monkeypatch.setattr(publisher._producer, "list_topics", lambda topic, seconds: None)
    asyncio.run(publisher.check())


def test_a_process_shares_one_publisher_until_it_is_closed(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_publisher, "_shared", answer_publisher._Shared())
    first = shared_publisher(Settings())
    assert shared_publisher(Settings()) is first
    first.close()
    again = shared_publisher(Settings())
    assert again is not first
    assert publish(again) == (4, 0)
    again.close()
