"""The Kafka provider's sensors as people use them: one for each case, in a topic of their own."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from confluent_kafka import Message, Producer
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.settings import Settings, get_settings

from benchmarks.topics import create, settings_of
from benchmarks.waiting.airflow import Airflow

NAMES = ("stock_default", "stock_tuned")
WAITING = 100
#: Seconds; tried on this project's machines: 5 (its default), 1, 0.1 and 0.
TUNED_POLL_INTERVAL = 0
_TRANSACTION = {
    "timestamp": datetime(2023, 10, 1, tzinfo=UTC),
    "step": 1,
    "type": "TRANSFER",
    "amount": 1_000,
    "nameOrig": "C1",
    "oldbalanceOrg": 1_000,
    "newbalanceOrig": 0,
    "nameDest": "C2",
    "oldbalanceDest": 0,
    "newbalanceDest": 0,
    "isFraud": 1,
    "isFlaggedFraud": 0,
    "status": "REPORTED_FRAUD",
}
_DEFER_SECONDS = 240
_MOST_SECONDS = 150
_TASK = "wait"


def answer_of(message: Message, case: str) -> str | None:
    """The sensors' apply_function: the status, where the message answers this case."""
    record = _codec().decode(message.value())
    return str(record["status"]) if record["idTransaction"] == case else None


@cache
def _codec() -> Codec:
    return Codec.for_topic(FRAUD_CONFIRMATION, get_settings())


def connections(brokers: str) -> dict[str, str]:
    """Environment of Airflow: one connection for all as its default, and one for each sensor with its own group."""
    names = ["kafka_default", *(f"stock_{number}" for number in range(WAITING))]
    extra = {"bootstrap.servers": brokers, "auto.offset.reset": "earliest"}
    return {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps({"conn_type": "kafka", "extra": extra | {"group.id": name}})
        for name in names
    }


def stock(name: str, environment: Mapping[str, str], airflow: Airflow, say: Callable[[str], None]) -> dict[str, Any]:
    """Lets 100 sensors wait, answers all of them at once, straight into their topic; what was resolved and when."""
    settings = settings_of(environment)
    create(environment, [name])
    cases = [f"{name}-{number}" for number in range(WAITING)]
    tuned = name == "stock_tuned"
    sensors = [
        {
            "apply_function_kwargs": {"case": case},
            "kafka_config_id": f"stock_{number}" if tuned else "kafka_default",
        }
        for number, case in enumerate(cases)
    ]
    airflow.open(name, "benchmark", {"sensors": sensors})
    deferred = airflow.wait_for(lambda: airflow.waiting(name) == WAITING, _DEFER_SECONDS)
    say(f"{name}: {airflow.waiting(name)} of {WAITING} wait after {deferred:.0f} s")
    started = time.time()
    _answer(settings, name, cases)
    airflow.wait_for(lambda: airflow.resolved(name, _TASK) == WAITING, _MOST_SECONDS)
    ends = airflow.ends(name, _TASK)
    airflow.close(name)
    seconds = max(ends) - started if len(ends) == WAITING else _MOST_SECONDS
    say(f"{name}: {len(ends)} of {WAITING} resolved in {seconds:.0f} s")
    return {
        "items": len(ends),
        "resolved": len(ends),
        "waiting": WAITING,
        "seconds": seconds,
        "peak_rss_mib": 0.0,
    }


def _answer(settings: Settings, topic: str, cases: list[str]) -> None:
    codec = Codec.for_topic(FRAUD_CONFIRMATION, settings)
    producer = Producer(settings.kafka_config(acks="all"))
    for case in cases:
        answer = _TRANSACTION | {"idTransaction": case, "answeredAt": datetime.now(UTC)}
        producer.produce(topic, key=case, value=codec.encode(answer))
    producer.flush()
