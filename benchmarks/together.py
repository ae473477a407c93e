"""The pipeline's tasks side by side, a process each, as Airflow would run them."""

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

from benchmarks.rounds import BenchmarkFailed
from benchmarks.topics import ends_of_records

CONSUMERS = (
    ("write_lake", NON_FRAUD_TRANSACTION),
    ("write_lake", FRAUD_TRANSACTION),
    ("send_mail", NON_FRAUD_TRANSACTION),
    ("send_mail", FRAUD_TRANSACTION),
    ("open_cases", FRAUD_TRANSACTION),
)
#: What interpreters need to start and groups to form.
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
        """Whether it isn't running any more."""
        return self._process.poll() is not None

    def outcome(self) -> dict[str, Any]:
        """Waits for its end.

        :raises BenchmarkFailed: it failed
        """
        out, _ = self._process.communicate()
        self._errors.seek(0)
        if self._process.returncode:
            raise BenchmarkFailed(f"{self.name} exited with {self._process.returncode}: {self._errors.read()[-3000:]}")
        outcome: dict[str, Any] = json.loads(out.splitlines()[-1])
        return outcome

    def stop(self) -> dict[str, Any]:
        """Asks it to end, as Airflow does."""
        self._process.terminate()
        return self.outcome()

    def kill(self) -> None:
        """Ends it at once, if it is still there."""
        self._process.kill()
        self._process.wait()
        self._errors.close()


@contextmanager
def tasks(environment: Mapping[str, str], port: int) -> Iterator[dict[tuple[str, str], Task]]:
    """All consumers, which have joined their groups; whatever still runs at the end is killed."""
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
    """How far each consumer group is behind what its topic has now; to be made when producing is over."""

    def __init__(self, settings: Settings, groups: Sequence[tuple[str, str]] = CONSUMERS) -> None:
        self._consumers = {
            (role, topic): Consumer(settings.kafka_config(**{"group.id": f"{role}-{topic}"})) for role, topic in groups
        }
        self._ends = {topic: ends_of_records(settings, topic) for topic in {topic for _, topic in groups}}

    def of(self, role: str, topic: str) -> int:
        """Offsets that the group hasn't committed yet."""
        ends = self._ends[topic]
        places = [TopicPartition(topic, number) for number in ends]
        done = {place.partition: place.offset for place in self._consumers[role, topic].committed(places, timeout=30)}
        return sum(max(0, end - max(0, done[number])) for number, end in ends.items())

    def close(self) -> None:
        """Leaves no connection open."""
        for consumer in self._consumers.values():
            consumer.close()
