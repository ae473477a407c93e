import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code
from fraudstream.cases.views import case_views, topic_view
from fraudstream.cases.views.case_views import ConfirmationView, shared_view
from fraudstream.errors import KafkaError, SchemaRegistryError
from fraudstream.settings import Settings

from tests.fakes.cases import transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Record:
    """A message as librdkafka hands it out; `failure` makes it an event."""

    place: tuple[int, int]
    content: Any = b""
    failure: Code | None = None
    sent: int = 0

    def error(self) -> Code | None:
        return self.failure

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def value(self) -> Any:
        return self.content

    def timestamp(self) -> tuple[int, int]:
        return 1, self.sent or int(time.time() * 1000)


@dataclass
class Broker:
    """What the fake consumer reads; `answers` false is a broker that is away."""

    ends: dict[int, int] = field(default_factory=lambda: {0: 0})
    queue: deque[Record] = field(default_factory=deque)
    away: Code | None = None
    assigned: list[TopicPartition] = field(default_factory=list)
    consumers: int = 0
    closed: int = 0
    young_from: int = -1
    #: What was asked of it, in order.
    asked: list[tuple[str, int]] = field(default_factory=list)

    def end_of(self, partition: int, offset: int) -> None:
        self.queue.append(Record((partition, offset), failure=Code(Code._PARTITION_EOF)))

    def answer(self, case: str, status: str, partition: int = 0, offset: int = 0, **more: Any) -> None:
        content = transaction(case) | {"status": status, "answeredAt": NOW}
        self.queue.append(Record((partition, offset), content, **more))


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


def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the condition didn't come true within 5 s")


def test_the_first_answer_of_a_case_in_log_order_is_its_answer(broker: Broker, answers: ConfirmationView) -> None:
    broker.answer("a", "REPORTED_FRAUD", offset=3)
    broker.answer("a", "REPORTED_NOT_FRAUD", offset=4)
    broker.answer("b", "NO_RESPONSE", partition=1, offset=0)
    until(lambda: answers.get("b"))
    first = answers.get("a")
    assert first is not None
    assert (first.id_transaction, first.status, first.partition, first.offset) == ("a", "REPORTED_FRAUD", 0, 3)
    assert first.answered_at == NOW
    assert first.record["amount"] == 18_198_343
    assert answers.get("c") is None


def test_it_is_caught_up_when_it_got_to_the_end_behind_a_transaction_marker(broker: Broker) -> None:
    broker.ends = {0: 5, 1: 0}
    with ConfirmationView(Settings(), horizon=None) as answers:
        broker.answer("a", "REPORTED_FRAUD", offset=3)
        until(lambda: answers.get("a"))
        assert not answers.caught_up, "offset 4 is a marker: nothing says yet that no answer lies there"
        broker.end_of(0, 5)
        broker.end_of(1, 0)
        until(lambda: answers.caught_up)


def test_without_a_horizon_it_reads_from_the_beginning(broker: Broker, answers: ConfirmationView) -> None:
    until(lambda: broker.assigned)
    assert [p.offset for p in broker.assigned] == [topic_view.OFFSET_BEGINNING]


def test_a_partition_of_which_no_offset_is_said_is_asked_for_again(broker: Broker) -> None:
    broker.ends = {0: 50}
    broker.young_from = OFFSET_INVALID
    with ConfirmationView(Settings(), horizon=timedelta(days=1)):
        until(lambda: len([what for what, _ in broker.asked if what == "time"]) > 1)
        assert not broker.assigned
        broker.young_from = 40
        until(lambda: broker.assigned)
    assert [p.offset for p in broker.assigned] == [40]


def test_with_a_horizon_it_starts_there_and_at_the_end_where_nothing_is_that_young(broker: Broker) -> None:
    broker.ends = {0: 50}
    for young_from, start in ((40, 40), (-1, 50)):
        broker.young_from, broker.assigned = young_from, []
        with ConfirmationView(Settings(), horizon=timedelta(days=1)):
            until(lambda: broker.assigned)
        assert [p.offset for p in broker.assigned] == [start]


def test_the_horizon_reaches_back_from_now_and_is_asked_for_after_the_ends(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    broker.ends = {0: 7, 1: 9}
    with ConfirmationView(Settings(), horizon=timedelta(hours=1)):
        until(lambda: broker.assigned)
    oldest = (1_700_000_000 - 3600) * 1000
    assert broker.asked == [("end", 0), ("end", 1), ("time", oldest), ("time", oldest)]


def test_it_is_caught_up_only_when_each_partition_is_read_to_its_end(broker: Broker) -> None:
    broker.ends = {0: 1, 1: 1}
    with ConfirmationView(Settings(), horizon=None) as answers:
        broker.answer("a", "REPORTED_FRAUD", partition=0, offset=0)
        until(lambda: answers.get("a"))
        assert not answers.caught_up
        broker.answer("b", "REPORTED_FRAUD", partition=1, offset=0)
        until(lambda: answers.caught_up)


def test_who_waits_is_told_the_first_answer_once_all_partitions_are_read(broker: Broker) -> None:
    """Partitions were added meanwhile: the answers of a case are in two of them, and the later one is read first."""
    broker.ends = {0: 1, 1: 1}

    async def wait(answers: ConfirmationView) -> str:
        waiting = asyncio.create_task(answers.wait("a"))
        broker.answer("a", "REPORTED_NOT_FRAUD", partition=1, offset=0, sent=2_000)
        await asyncio.to_thread(until, lambda: answers.position(1) == 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        broker.answer("a", "REPORTED_FRAUD", partition=0, offset=0, sent=1_000)
        return (await asyncio.wait_for(waiting, 5)).status

    with ConfirmationView(Settings(), horizon=None) as answers:
        assert asyncio.run(wait(answers)) == "REPORTED_FRAUD"


def test_brokers_that_are_away_at_the_start_are_waited_for(broker: Broker) -> None:
    broker.away = Code(Code._TRANSPORT)
    with ConfirmationView(Settings(), horizon=None) as answers:
        threading.Event().wait(0.05)
        assert answers.alive
        assert not answers.caught_up
        broker.away = None
        broker.answer("a", "REPORTED_FRAUD")
        until(lambda: answers.get("a"))


def test_brokers_that_go_away_while_it_reads_are_outlived(broker: Broker, answers: ConfirmationView) -> None:
    broker.queue.append(Record((0, 0), failure=Code(Code._ALL_BROKERS_DOWN)))
    broker.answer("a", "REPORTED_FRAUD")
    until(lambda: answers.get("a"))


def test_a_record_that_cannot_be_decoded_is_named_in_the_log_and_passed_over(
    broker: Broker, answers: ConfirmationView, caplog: pytest.LogCaptureFixture
) -> None:
    broker.queue.append(Record((2, 17), "the first byte is 9"))
    broker.answer("a", "REPORTED_FRAUD", partition=2, offset=18)
    until(lambda: answers.get("a"))
    assert "fraud_confirmation[2]@17 is passed over: the first byte is 9" in caplog.text


def test_a_registry_that_is_away_holds_the_record_back_instead_of_losing_it(
    broker: Broker, answers: ConfirmationView, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    decode = answers._codec.decode_messages

    def decode_at_the_third_try(messages: list[Record]) -> Any:
        tries.append(messages)
        if messages and len(tries) < 3:
            raise SchemaRegistryError("the registry is away")
        return decode(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(answers._codec, "decode_messages", decode_at_the_third_try)
    broker.answer("a", "REPORTED_FRAUD")
    until(lambda: answers.get("a"))
    assert len(tries) == 3


def test_nobody_is_told_of_an_end_while_the_view_reads_on(broker: Broker, answers: ConfirmationView) -> None:
    async def wait() -> None:
        ended = asyncio.create_task(answers.ended())
        for number in range(3):
            broker.answer(f"case-{number}", "REPORTED_FRAUD", partition=number)
        for number in range(3):
            await asyncio.wait_for(answers.wait(f"case-{number}"), 5)
        await asyncio.sleep(0.02)
        assert not ended.done()
        await asyncio.to_thread(answers.close)
        await asyncio.wait_for(ended, 5)

    asyncio.run(wait())


def test_what_no_retry_heals_is_raised_to_everyone(broker: Broker, answers: ConfirmationView) -> None:
    async def wait() -> None:
        waiting = asyncio.create_task(answers.wait("a"))
        await asyncio.sleep(0.05)
        broker.queue.append(Record((0, 0), failure=Code(Code.TOPIC_AUTHORIZATION_FAILED)))
        await asyncio.wait_for(answers.ended(), 5)
        with pytest.raises(KafkaError, match=r"may not: .*docker/kafka/acls"):
            await waiting

    asyncio.run(wait())
    with pytest.raises(KafkaError, match="topic fraud_confirmation"):
        answers.get("a")
    until(lambda: not answers.alive)
    assert broker.closed == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_in_the_thread_is_raised_to_everyone_too(broker: Broker, answers: ConfirmationView) -> None:
    broker.queue.append(Record((0, 0), {"no": "answer"}))
    until(lambda: not answers.alive)
    with pytest.raises(KafkaError, match="unforeseen error"):
        asyncio.run(answers.wait("a"))


def test_closing_ends_the_thread_and_tells_who_waits(broker: Broker, answers: ConfirmationView) -> None:
    async def wait() -> None:
        waiting = asyncio.create_task(answers.wait("a"))
        await asyncio.sleep(0.02)
        await asyncio.to_thread(answers.close)
        with pytest.raises(KafkaError, match="is closed"):
            await waiting

    asyncio.run(wait())
    answers.close()
    assert broker.closed == 1


def test_what_gets_older_than_the_horizon_is_forgotten(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_view, "FORGET_EVERY_SECONDS", 0.01)
    with ConfirmationView(Settings(), horizon=timedelta(hours=1)) as answers:
        broker.answer("old", "REPORTED_FRAUD", sent=1)
        broker.answer("young", "REPORTED_FRAUD")
        until(lambda: answers.get("young"))
        until(lambda: answers.get("old") is None)
        assert answers.get("young")


def test_a_process_shares_one_view_until_it_is_closed(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_views, "_shared", case_views._Shared())
    settings = Settings()
    found: list[ConfirmationView] = []
    threads = [threading.Thread(target=lambda: found.append(shared_view(settings))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    found[0].close()
    again = shared_view(settings)
    assert again is not found[0]
    assert again.alive
    again.close()
    assert broker.consumers == broker.closed == 2


def test_partitions_that_are_added_are_read_from_their_beginning(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_view, "REFRESH_EVERY_SECONDS", 0.01)
    broker.end_of(0, 0)
    with ConfirmationView(Settings(), horizon=timedelta(hours=1)) as view:
        until(lambda: view.caught_up)
        broker.ends = broker.ends | {7: 3}
        until(lambda: [place.partition for place in broker.assigned] == [0, 7])
        assert broker.assigned[-1].offset == OFFSET_BEGINNING
        broker.answer("a", "REPORTED_FRAUD", partition=7)
        broker.end_of(7, 3)
        until(lambda: view.get("a") is not None)


def test_brokers_that_are_away_when_it_looks_for_partitions_do_not_end_the_view(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_view, "REFRESH_EVERY_SECONDS", 0.01)
    broker.end_of(0, 0)
    with ConfirmationView(Settings(), horizon=None) as view:
        until(lambda: view.caught_up)
        broker.away = Code(Code._TRANSPORT)
        threading.Event().wait(0.1)
        broker.away = None
        broker.answer("a", "REPORTED_FRAUD")
        until(lambda: view.get("a") is not None)
