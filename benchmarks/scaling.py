"""Rates with 1, 2, 4 workers and with 1, 6, 24 partitions; times with 1, 10, 100 days in the lake.

ROWS sets the number of rows for each point (default: 500,000). ``python -m benchmarks.plots`` draws the result.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic
from fraudstream.dataset.generator import plan
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store

from benchmarks.harness.dataset import lake, lines_and_records, paysim, upload
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import BenchmarkFailed, run
from benchmarks.harness.together import Task
from benchmarks.harness.topics import delete, settings_of
from local.topics import admin_client

WORKERS, PARTITIONS, DAYS = (1, 2, 4), (1, 6, 24), (1, 10, 100)
_ROWS = int(os.environ.get("ROWS") or 500_000)
#: The number of rows that aren't frauds.
_RECORDS = _ROWS - plan(_ROWS).frauds
_TOPIC = NON_FRAUD_TRANSACTION
_GONE_WITHIN = 30.0


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Measures each point once: the trend matters, not the exact figure."""
    store = lake(environment)
    points: dict[str, list[dict[str, Any]]] = {"workers": [], "partitions": []}
    _produce(environment, store, "workers")
    for number in WORKERS:
        points["workers"].append({"workers": number} | _write_lake(environment, store, number, f"workers-{number}"))
        say(f"{points['workers'][-1]}")
    for number in PARTITIONS:
        _recreate(environment, number)
        produced = _produce(environment, store, f"partitions-{number}")
        read = _write_lake(environment, store, 1, f"partitions-{number}")
        points["partitions"].append({"partitions": number, "produced_per_second": produced} | read)
        say(f"{points['partitions'][-1]}")
    outcome = run("benchmarks.ours.tables.days", DAYS, environment)
    points["days"] = outcome["points"]
    say(f"{points['days']}")
    once = all(point["once"] for name in ("workers", "partitions") for point in points[name])
    peak = max(point["peak_rss_mib"] for name in ("workers", "partitions") for point in points[name])
    return Report(
        "scaling",
        "records/s, 1 worker",
        {},
        {"each record once, whatever the workers and partitions": once},
        also={"points": points},
        single=(points["workers"][0]["rows_per_second"], peak),
    )


def _produce(environment: Mapping[str, str], store: Store, name: str) -> float:
    """Produces the rows; returns rows per second."""
    outcome = run("benchmarks.ours.produce", [upload(store, paysim(_ROWS), f"{name}.csv")], environment)
    return float(round(outcome["items"] / outcome["seconds"]))


def _write_lake(environment: Mapping[str, str], store: Store, workers: int, folder: str) -> dict[str, Any]:
    """Lets members of one group write the topic to the lake; timed from the first assignment to the last member's end.

    A member gets no partition if the others finish before it joins.
    """
    tasks = [Task(environment, "benchmarks.ours.lake", _TOPIC, folder) for _ in range(workers)]
    try:
        outcomes = [task.outcome() for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    began = min(outcome["began"] for outcome in outcomes if "began" in outcome)
    seconds = max(outcome["ended"] for outcome in outcomes) - began
    rows, different = lines_and_records(store, f"{folder}/")
    return {
        "rows": rows,
        "once": rows == different == _RECORDS,
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        "cpu_seconds": round(sum(outcome["cpu_seconds"] for outcome in outcomes), 1),
        "peak_rss_mib": round(max(outcome["peak_rss_mib"] for outcome in outcomes)),
    }


def _recreate(environment: Mapping[str, str], partitions: int) -> None:
    """Deletes the topic and creates it with another number of partitions.

    :raises BenchmarkFailed: it can't be created within 30 s, for example because it isn't deleted yet
    """
    settings = settings_of(environment)
    admin = admin_client(settings)  # in a variable: a future never completes if its client is garbage-collected
    delete(environment, [_TOPIC])
    topic = NewTopic(
        _TOPIC,
        num_partitions=partitions,
        replication_factor=settings.kafka_replication_factor,
        config={"min.insync.replicas": "2", "message.timestamp.type": "LogAppendTime"},
    )
    deadline = time.monotonic() + _GONE_WITHIN
    while True:
        try:
            admin.create_topics([topic])[_TOPIC].result(_GONE_WITHIN)
        except KafkaException as error:
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"{_TOPIC} can't be created with {partitions} partitions: {error}") from error
            time.sleep(0.5)
        else:
            return
