"""Brokers, registry and store of the local stack, with state and ports of their own, so that no other stack suffers."""

import os
import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from fraudstream.kafka.topic.cluster import register_schemas, wait_for_brokers
from fraudstream.kafka.topic.topics import create_topics
from fraudstream.settings import Settings

from local import artifacts
from local.environment import LAKE_BUCKET, LOGS, STACK, VAR, catalog_environment
from local.ports import PORTS, PREFIX, Ports, is_free
from local.services import kafka, schema_registry, store
from local.supervisor.control import Control, StackError
from local.supervisor.part import AT_REST, Part, State

#: Below the ports that the kernel gives to clients: one of them could take a killed broker's port.
_PORTS = range(21_000, 32_000, 100)
PARTITIONS = 3
#: Seconds. A broker whose peers were killed too took more than two minutes on a machine at a load of 200.
_READY_WITHIN = 300.0


def free_ports() -> dict[str, str]:
    """Variables that move every port of the stack to a block where nothing listens."""
    for first in _PORTS:
        block = dict(zip(PORTS, range(first, first + len(PORTS)), strict=True))
        if all(is_free(port) for port in block.values()):
            return {f"{PREFIX}{name.upper()}": str(port) for name, port in block.items()}
    raise StackError(f"no {len(PORTS)} free ports in a row from {_PORTS.start} to {_PORTS.stop}")


class Stack:
    """A stack that starts empty; its parts are killed and started by name."""

    def __init__(self) -> None:
        self.ports = Ports.from_environment()
        self.control = Control(STACK, LOGS)
        self.registry = self.ports["schema_registry"]
        self.store = self.ports["gcs"]
        self._killed: set[str] = set()

    def environment(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Settings that reach the parts directly."""
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
                # An address that names the transaction: the SMTP server knows what it refuses.
                "FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE": "{idTransaction}@example.com",
                "FRAUDSTREAM_LAKE_FLUSH_SECONDS": "1.5",
                "STORAGE_EMULATOR_HOST": self.ports.url("gcs"),
            }
        )

    def port(self, name: str) -> int:
        """The port of a part, which need not run."""
        return self.ports[name]

    def up(self) -> None:
        """Starts everything on an empty state.

        :raises StackError: a part fails, or another run is at work
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
        """The brokers, with time enough to start where two were killed on a busy machine."""
        parts = kafka(self.ports, files)
        for part in parts:
            part.ready_within = _READY_WITHIN
        return parts

    def empty(self) -> None:
        """Removes what an earlier run left.

        :raises StackError: another run is at work
        """
        if self.control.status():
            raise StackError(f"a chaos run is at work in {VAR}: wait for its end")
        self.control.down()
        shutil.rmtree(VAR, ignore_errors=True)
        STACK.mkdir(parents=True)

    def create_topics(self, settings: Settings) -> None:
        """Topics and schemas, as the DAG start_kafka makes them."""
        wait_for_brokers(settings, seconds=60)
        create_topics(settings)
        register_schemas(settings, seconds=60)

    def down(self) -> None:
        """Stops everything; the state stays for whoever wants to look."""
        self.control.down()

    def kill(self, name: str) -> None:
        """SIGKILL, and returns when the part is gone."""
        self._killed.add(name)
        self.control.command("kill", name)
        self._wait(name, AT_REST, 30)

    def start(self, name: str) -> None:
        """Starts a part that was killed, and returns when it is ready.

        One that ends before it is ready, such as a registry on a machine without a free processor, is started again.
        """
        deadline = time.monotonic() + _READY_WITHIN
        state = None
        while state is not State.READY:
            self.control.command("start", name)
            state = self._wait(name, {State.READY, State.FAILED}, deadline - time.monotonic())
        self._killed.discard(name)

    def ended(self) -> list[str]:
        """What the supervisor says of each part that ended though the run didn't kill it, with the end of its log."""
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
