"""The script that responds to HITLOperator's tasks: it reads the topic and sends each answer to Airflow's REST API."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
from confluent_kafka import Consumer, Message
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.settings import Settings

from benchmarks.harness.rounds import BenchmarkFailed
from local.demo.airflow_api import AirflowApi

#: Number of parallel requests, over kept connections.
_CONNECTIONS = 8
_BATCH = 100
_POLL_SECONDS = 0.1
_ASSIGNED_SECONDS = 30.0

Answer = Callable[[str, str], None]


def places(details: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """By subject, which is the case's id: the path of the task's human-in-the-loop details in the REST API."""
    found = {}
    for detail in details:
        task = detail["task_instance"]
        run = f"/api/v2/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}"
        found[detail["subject"]] = f"{run}/taskInstances/{task['task_id']}/{task['map_index']}/hitlDetails"
    return found


@contextmanager
def answering(settings: Settings, topic: str, api: AirflowApi, run: str) -> Iterator[None]:
    """Runs the script during the context. Its consumer has its partitions before the block starts.

    :raises BenchmarkFailed: the script failed
    """
    known = places(api.hitl_details("hitl", run))
    codec = Codec.for_topic(FRAUD_CONFIRMATION, settings)
    assigned, ended = threading.Event(), threading.Event()

    def answer(case: str, status: str) -> None:
        try:
            api.patch(known[case], {"chosen_options": [status]})
        except httpx.HTTPError as error:
            raise BenchmarkFailed(f"Airflow did not take the answer to case {case}: {error}") from error

    def script() -> None:
        group = {"group.id": f"script-{run}", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        consumer = Consumer(settings.kafka_config(**group))
        try:
            consumer.subscribe([topic], on_assign=lambda *_: assigned.set())
            with ThreadPoolExecutor(_CONNECTIONS) as requests:
                while not ended.is_set():
                    if messages := consumer.consume(_BATCH, _POLL_SECONDS):
                        pass_on(messages, codec, answer, requests)
                        consumer.commit(asynchronous=False)
        finally:
            consumer.close()

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(script)
        try:
            if not assigned.wait(_ASSIGNED_SECONDS):
                raise BenchmarkFailed(f"the script has no partition of {topic} after {_ASSIGNED_SECONDS:.0f} s")
            yield
        finally:
            ended.set()
            running.result()


def pass_on(messages: Iterable[Message], codec: Codec, answer: Answer, requests: ThreadPoolExecutor) -> None:
    """Answers the cases of these messages in parallel; returns when Airflow has accepted all answers.

    :raises BenchmarkFailed: a message is an error of the consumer
    """
    records = []
    for message in messages:
        if error := message.error():
            raise BenchmarkFailed(f"reading the answers failed: {error}")
        records.append(codec.decode(message.value()))
    list(requests.map(lambda record: answer(record["idTransaction"], record["status"]), records))
