"""Other ways to let a task wait for an answer in a Kafka topic, each configured as an experienced user would do it."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

from confluent_kafka import Message, Producer
from fraudstream.cases.answers.publisher import Status, channel_of
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.settings import Settings, get_settings

from benchmarks.harness.topics import create, settings_of
from benchmarks.waiting.airflow import Airflow
from benchmarks.waiting.hitl import answering
from benchmarks.waiting.progress import wait_for_count

#: poll_interval of `stock_tuned` in seconds; 5 (the default), 1, 0.1 and 0 were tried on this project's machines.
TUNED_POLL_INTERVAL = 0
#: The largest number of waiting cases; each sensor of `stock_tuned` has its own connection.
WAITING = 100
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
}
_DEFER_SECONDS = 240
#: Seconds to wait before answering, until the scheduler has seen the end of each deferred task's process. If an answer
#: came earlier, the scheduler might take this end for that of the task and fail it. Real customers take longer.
_SETTLED_SECONDS = 15
#: Seconds within which all cases must be resolved.
MOST_SECONDS = 150
_TASK = "wait"


@dataclass(frozen=True)
class Peer:
    """A DAG of benchmarks/dags whose task `wait` is mapped over cases."""

    configuration: str
    #: Returns the run's conf for the topic with the answers and the ids of the cases.
    conf: Callable[[str, list[str]], dict[str, Any]]
    #: Whether the task is a human-in-the-loop task, whose answers a script sends to Airflow.
    asks: bool = False


def _sensors(connection: Callable[[int], str], topic: str, cases: list[str]) -> dict[str, Any]:
    options = [
        {"topics": [topic], "apply_function_kwargs": {"case": case}, "kafka_config_id": connection(number)}
        for number, case in enumerate(cases)
    ]
    return {"sensors": options}


PEERS = {
    "stock_default": Peer(
        "AwaitMessageSensor with its defaults: all sensors share the consumer group of one connection",
        partial(_sensors, lambda _: "kafka_default"),
    ),
    "stock_tuned": Peer(
        "AwaitMessageSensor with poll_interval=0, and a connection with a consumer group of its own for each sensor",
        partial(_sensors, "stock_{}".format),
    ),
    "shared_stream": Peer(
        "KafkaSharedStreamTrigger with a filter for the case that decodes each record once, started and ended in the "
        "triggerer; enable.auto.commit=false, and a consumer group for each triggerer, so that each sees all answers",
        lambda topic, cases: {"topic": topic, "cases": cases},
    ),
    "hitl": Peer(
        "HITLOperator; a script reads the topic and passes each answer on with PATCH hitlDetails, 8 at once over kept "
        "connections, logged in once, with the paths of the cases looked up before",
        lambda _, cases: {"questions": [{"subject": case} for case in cases]},
        asks=True,
    ),
}


def answer_of(message: Message, case: str) -> str | None:
    """The sensors' apply_function: returns the status if the message answers this case, else None."""
    record = _codec().decode(message.value())
    return str(record["status"]) if record["idTransaction"] == case else None


def answer_to(case: str) -> dict[str, Any]:
    """The record with which a customer reports a fraud."""
    status: Status = "REPORTED_FRAUD"
    now = datetime.now(UTC)
    return _TRANSACTION | {"idTransaction": case, "status": status, "answeredAt": now} | channel_of(status, None)


@cache
def _codec() -> Codec:
    return Codec.for_topic(FRAUD_CONFIRMATION, get_settings())


def connections(brokers: str, part: str) -> dict[str, str]:
    """Variables with a part's connections: of `stock_default`, each sensor of `stock_tuned`, and `shared_stream`."""
    common = {"bootstrap.servers": brokers, "auto.offset.reset": "earliest"}
    extras = {name: {"group.id": name} for name in ("kafka_default", *map("stock_{}".format, range(WAITING)))}
    extras["shared_stream"] = {"group.id": f"shared_stream_{part}", "enable.auto.commit": "false"}
    return {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps({"conn_type": "kafka", "extra": common | extra})
        for name, extra in extras.items()
    }


def run_peer(
    name: str,
    label: str,
    count: int,
    environment: Mapping[str, str],
    airflow: Airflow,
    say: Callable[[str], None],
    *,
    within: float = MOST_SECONDS,
) -> dict[str, Any]:
    """Lets `count` tasks wait, produces all answers to a topic at once, and returns the outcome.

    :param label: distinguishes the rounds; each has its own topic and DAG run
    :param within: seconds to wait until all tasks have ended
    """
    peer = PEERS[name]
    settings = settings_of(environment)
    topic = f"{name}-{label}"
    create(environment, [topic])
    cases = [f"{topic}-{number}" for number in range(count)]
    before = airflow.over(name, _TASK)
    airflow.open(name, topic, peer.conf(topic, cases))
    waiting = partial(airflow.awaiting_input if peer.asks else airflow.waiting, name)
    took = wait_for_count(waiting, count, _DEFER_SECONDS, say, f"{name}, waiting")
    say(f"{name}, {label}: {waiting()} of {count} wait after {took:.0f} s")
    time.sleep(_SETTLED_SECONDS)
    script: AbstractContextManager[None] = (
        answering(settings, topic, airflow.api, topic) if peer.asks else nullcontext()
    )
    with script:
        started = time.time()
        _answer(settings, topic, cases)
        took = wait_for_count(lambda: airflow.over(name, _TASK) - before, count, within, say, f"{name}, over")
    ends = [end for end in airflow.ends(name, _TASK) if end >= started]
    failed = airflow.over(name, _TASK) - before - len(ends)
    airflow.close(name)
    seconds = max(ends) - started if len(ends) == count else took
    say(f"{name}, {label}: {len(ends)} of {count} resolved in {seconds:.1f} s{f', {failed} failed' if failed else ''}")
    return {"items": len(ends), "waiting": count, "seconds": seconds, "peak_rss_mib": 0.0}


def _answer(settings: Settings, topic: str, cases: list[str]) -> None:
    codec = Codec.for_topic(FRAUD_CONFIRMATION, settings)
    producer = Producer(settings.kafka_config(acks="all"))
    for case in cases:
        producer.produce(topic, key=case, value=codec.encode(answer_to(case)))
    producer.flush()
