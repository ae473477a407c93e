"""A view of a topic when brokers, registry or records cause errors, and when it ends."""

import asyncio
import threading
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.cases.views import topic_view
from fraudstream.cases.views.case_views import ConfirmationView
from fraudstream.errors import KafkaError, SchemaRegistryError
from fraudstream.settings import Settings

from tests.unit.cases.views.view_broker import Broker, Record, until


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
