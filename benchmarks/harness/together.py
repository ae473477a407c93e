"""Runs the pipeline's tasks in parallel, each in its own process, as Airflow does."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import IO, Any

from confluent_kafka import Consumer, TopicPartition
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import ROOT, Settings

from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.harness.topics import ends_of_records

CONSUMERS = (
    ("write_lake", NON_FRAUD_TRANSACTION),
    ("write_lake", FRAUD_TRANSACTION),
    ("send_mail", NON_FRAUD_TRANSACTION),
    ("send_mail", FRAUD_TRANSACTION),
    ("open_cases", FRAUD_TRANSACTION),
)
#: Seconds in which the processes start and the consumer groups assign their partitions.
_JOIN_SECONDS = 12


class Task:
    """A process that prints its outcome when it ends."""

    def __init__(self, environment: Mapping[str, str], module: str, *arguments: object) -> None:
        self.name = " ".join([module.rpartition(".")[2], *map(str, arguments[:2])])
        self._errors: IO[str] = TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=dict(environment),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def outcome(self) -> dict[str, Any]:
        """Waits for the end of the process and returns its outcome.

        :raises BenchmarkFailed: the process failed
        """
        out, _ = self._process.communicate()
        self._errors.seek(0)
        if self._process.returncode:
            raise BenchmarkFailed(f"{self.name} exited with {self._process.returncode}: {self._errors.read()[-3000:]}")
        outcome: dict[str, Any] = json.loads(out.splitlines()[-1])
        return outcome

    def stop(self) -> dict[str, Any]:
        """Sends SIGTERM, as Airflow does, and returns the outcome."""
        self._process.terminate()
        return self.outcome()

    def kill(self) -> None:
        """Kills the process if it still runs."""
        self._process.kill()
        self._process.wait()
        self._errors.close()


@contextmanager
def tasks(environment: Mapping[str, str], port: int) -> Iterator[dict[tuple[str, str], Task]]:
    """Runs all consumers; yields them by role and topic when they have joined their groups. Kills them at the end."""
    running = {
        (role, topic): Task(environment, "benchmarks.ours.consumer", role, topic, port) for role, topic in CONSUMERS
    }
    try:
        time.sleep(_JOIN_SECONDS)
        yield running
    finally:
        for task in running.values():
            task.kill()


class Lags:
    """The lag of each consumer group behind the end of its topic. Create it when all records are produced."""

    def __init__(self, settings: Settings, groups: Sequence[tuple[str, str]] = CONSUMERS) -> None:
        self._consumers = {
            (role, topic): Consumer(settings.kafka_config(**{"group.id": f"{role}-{topic}"})) for role, topic in groups
        }
        self._ends = {topic: ends_of_records(settings, topic) for topic in {topic for _, topic in groups}}

    def of(self, role: str, topic: str) -> int:
        """The lag of a group: the number of offsets that it hasn't committed."""
        ends = self._ends[topic]
        places = [TopicPartition(topic, number) for number in ends]
        done = {place.partition: place.offset for place in self._consumers[role, topic].committed(places, timeout=30)}
        return sum(max(0, end - max(0, done[number])) for number, end in ends.items())

    def close(self) -> None:
        """Closes the consumers."""
        for consumer in self._consumers.values():
            consumer.close()
