"""Brokers, registry and store of the local stack, with their own state and ports, separate from other stacks."""

import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from fraudstream.kafka.topic.cluster import register_schemas, wait_for_brokers
from fraudstream.kafka.topic.topics import create_topics
from fraudstream.settings import Settings

from local.programs import artifacts
from local.stack.environment import LAKE_BUCKET, LOGS, STACK, VAR, catalog_environment
from local.stack.ports import PORTS, PREFIX, Ports, is_free
from local.stack.services import kafka, schema_registry, store
from local.supervisor.control import Control, StackError
from local.supervisor.part import AT_REST, Part, State

#: Below the kernel's ephemeral ports: a client could otherwise get the port of a killed broker.
_PORTS = range(21_000, 32_000, 100)
PARTITIONS = 3
#: Seconds. On a machine with a load of 200, a broker whose peers were also killed needed more than two minutes.
_READY_WITHIN = 300.0


def free_ports() -> dict[str, str]:
    """Variables that move all ports of the stack to a range of free ports."""
    for first in _PORTS:
        block = dict(zip(PORTS, range(first, first + len(PORTS)), strict=True))
        if all(is_free(port) for port in block.values()):
            return {f"{PREFIX}{name.upper()}": str(port) for name, port in block.items()}
    raise StackError(f"no {len(PORTS)} free ports in a row from {_PORTS.start} to {_PORTS.stop}")


class Stack:
    """A stack that starts empty, and whose parts are killed and started by name."""

    def __init__(self) -> None:
        self.ports = Ports.from_environment()
        self.control = Control(STACK, LOGS)
        self.registry = self.ports["schema_registry"]
        self.store = self.ports["gcs"]
        self._killed: set[str] = set()

    def environment(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The settings that reach the parts directly, without a proxy."""
        brokers = ",".join(self.ports.address(f"kafka_{number}") for number in (1, 2, 3))
        own = {name: value for name, value in environment.items() if not name.startswith(("FRAUDSTREAM_", "AIRFLOW_"))}
        catalog = catalog_environment(self.ports, f"sqlite:///{STACK / 'catalog.sqlite'}")
        return (
            own
            | catalog
            | {
                "FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS": brokers,
                "FRAUDSTREAM_KAFKA_PARTITIONS": str(PARTITIONS),
                "FRAUDSTREAM_SCHEMA_REGISTRY_URL": f"{self.ports.url('schema_registry')}/apis/ccompat/v7",
                "FRAUDSTREAM_LAKE_BUCKET": LAKE_BUCKET,
                "FRAUDSTREAM_CONFIRMATION_KEYS": "example-key-of-the-chaos-tests",
                # The address names the transaction, so that the SMTP server knows which mail it refuses.
                "FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE": "{idTransaction}@example.com",
                "FRAUDSTREAM_LAKE_FLUSH_SECONDS": "1.5",
                "STORAGE_EMULATOR_HOST": self.ports.url("gcs"),
            }
        )

    def port(self, name: str) -> int:
        """The port of a part, running or not."""
        return self.ports[name]

    def up(self) -> None:
        """Starts all parts with empty state.

        :raises StackError: a part fails, or another run is active
        """
        self.empty()
        files = artifacts.fetch_all(print)
        parts = [
            *self.brokers(files),
            schema_registry(self.ports, files[artifacts.REGISTRY]),
            store(self.ports),
        ]
        self.control.up(parts, lambda _: None)

    def brokers(self, files: Mapping[str, Path]) -> list[Part]:
        """The brokers, with a longer limit to start after two were killed on a busy machine."""
        parts = kafka(self.ports, files)
        for part in parts:
            part.ready_within = _READY_WITHIN
        return parts

    def empty(self) -> None:
        """Removes the state of an earlier run.

        :raises StackError: another run is active
        """
        if self.control.status():
            raise StackError(f"a chaos run is at work in {VAR}: wait for its end")
        self.control.down()
        shutil.rmtree(VAR, ignore_errors=True)
        STACK.mkdir(parents=True)

    def create_topics(self, settings: Settings) -> None:
        """Creates topics and schemas as the DAG start_kafka does."""
        wait_for_brokers(settings, seconds=60)
        create_topics(settings)
        register_schemas(settings, seconds=60)

    def down(self) -> None:
        """Stops all parts; their state is kept for inspection."""
        self.control.down()

    def kill(self, name: str) -> None:
        """Kills a part with SIGKILL and waits until it has ended."""
        self._killed.add(name)
        self.control.command("kill", name)
        self._wait(name, AT_REST, 30)

    def start(self, name: str) -> None:
        """Starts a killed part and waits until it is ready.

        A part that ends before, such as a registry on a machine without a free CPU, is started again.
        """
        deadline = time.monotonic() + _READY_WITHIN
        state = None
        while state is not State.READY:
            self.control.command("start", name)
            state = self._wait(name, {State.READY, State.FAILED}, deadline - time.monotonic())
        self._killed.discard(name)

    def ended(self) -> list[str]:
        """The supervisor's message, with the end of the log, about each part that ended without the run killing it."""
        return [
            part.problem
            for part in self.control.status()
            if part.state in {State.FAILED, State.DIED} and part.name not in self._killed
        ]

    def _wait(self, name: str, wanted: Collection[State], seconds: float) -> State:
        deadline = time.monotonic() + seconds
        while True:
            status = next(part for part in self.control.status() if part.name == name)
            if status.state in wanted:
                return status.state
            if time.monotonic() > deadline:
                raise StackError(f"{name} is {status.state} after {seconds:.0f} s, expected {wanted}: {status.problem}")
            time.sleep(0.1)
