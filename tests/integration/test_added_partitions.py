"""Partitions that are added while everything runs are used without a restart, and each case keeps its first answer."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.answers.places import AnswerPlaces
from fraudstream.cases.answers.publisher import Status
from fraudstream.cases.views.case_views import Answer, ConfirmationView
from fraudstream.kafka.avro import codec as codec_module
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import Registry
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.settings import Settings
from pydantic import SecretStr

from tests.fakes.cases import answered, transaction
from tests.integration.collected import Collected

pytestmark = pytest.mark.integration


def answer(case: str, status: Status) -> dict[str, Any]:
    return answered(transaction(case), status, datetime.now(UTC))


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Settings of clients that look for new partitions every second instead of every half minute."""
    return settings.model_copy(update={"kafka_properties": {"topic.metadata.refresh.interval.ms": SecretStr("1000")}})


@pytest.fixture
def topic(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = f"test.answers.{uuid.uuid4().hex[:12]}"
    admin = AdminClient(settings.kafka_config())
    admin.create_topics([NewTopic(name, 1, 3, config={"message.timestamp.type": "LogAppendTime"})])[name].result()
    monkeypatch.setitem(codec_module.SCHEMA_FILES, name, "fraud_confirmation.avsc")
    Registry(settings).register(name, schema_text(name))
    yield name
    admin.delete_topics([name])[name].result()


def test_answers_in_added_partitions_reach_waiting_cases_and_consumers_once(quick: Settings, topic: str) -> None:
    codec = Codec.for_topic(topic, quick)
    producer = Producer(quick.producer_config())
    places: dict[str, set[int]] = {}

    def answers(round_: Status) -> None:
        for number in range(40):
            case = f"case-{number}"
            value = codec.encode(answer(case, round_))
            producer.produce(
                topic,
                value,
                case,
                on_delivery=lambda _, m: places.setdefault(m.key().decode(), set()).add(m.partition()),
            )
        assert producer.flush(30) == 0

    view_of = type("Answers", (ConfirmationView,), {"topic": topic})
    places_of = type("Places", (AnswerPlaces,), {"topic": topic})
    sink = Collected()
    consumer = Subscription(
        quick, topic, f"test-{topic}", FirstAnswers(sink, elsewhere=places_of(quick)), codec, max_seconds=60
    )
    running = threading.Thread(target=consumer.run)
    running.start()
    try:
        with view_of(quick, horizon=timedelta(hours=1)) as view:
            first_half = asyncio.run(_answered(view, "case-1", lambda: answers("REPORTED_FRAUD")))
            admin = AdminClient(quick.kafka_config())
            admin.create_partitions([NewPartitions(topic, 6)])[topic].result()
            time.sleep(3)  # the producer looks every second
            answers("REPORTED_NOT_FRAUD")
            moved = [case for case, used in places.items() if len(used) == 2]
            assert len(moved) > 20, "keys have another partition now"
            until = time.monotonic() + 30
            while len({row["idTransaction"] for row in sink.rows}) < 40 or view.get("case-39") is None:
                assert time.monotonic() < until
                time.sleep(0.1)
            new = answer("case-new", "REPORTED_FRAUD")

            def answer_anew() -> None:
                for partition in range(6):  # an answer is seen in any partition
                    key = f"case-new-{partition}"
                    value = codec.encode({**new, "idTransaction": key})
                    producer.produce(topic, value, key, partition=partition)
                producer.flush(30)

            asyncio.run(_answered(view, "case-new-5", answer_anew))
            until = time.monotonic() + 30
            while len(sink.rows) < 46:
                assert time.monotonic() < until
                time.sleep(0.1)
    finally:
        consumer.stop()
        running.join(30)
    assert first_half.status == "REPORTED_FRAUD"
    statuses = {str(row["idTransaction"]): row["status"] for row in sink.rows}
    assert len(sink.rows) == len(statuses) == 46, "each case once"
    assert {statuses[case] for case in moved} == {"REPORTED_FRAUD"}, "the first answer, whatever partition it lies in"


async def _answered(view: ConfirmationView, case: str, answer: Callable[[], None]) -> Answer:
    """The answer that a waiting case gets after `answer` was called."""
    waiting = asyncio.create_task(view.wait(case))
    await asyncio.sleep(0.1)
    await asyncio.to_thread(answer)
    return await asyncio.wait_for(waiting, 30)
