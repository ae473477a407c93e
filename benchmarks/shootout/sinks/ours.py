"""write_lake: gzipped JSON in the object store, behind a proxy that limits writes and injects faults."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.harness.dataset import lake
from benchmarks.harness.report import OURS
from benchmarks.shootout.fleet import Command, Fleet
from benchmarks.shootout.readers import Objects, Reader
from benchmarks.shootout.sinks.subject import FLUSH_SECONDS, Subject
from tests.chaos.proxy import OBJECT_SECONDS, FaultyProxy, HttpFault

_STORE = "STORAGE_EMULATOR_HOST"
_FAULTS = (HttpFault.UNAVAILABLE, HttpFault.TOO_MANY, HttpFault.RESET, HttpFault.LOST_ANSWER)
_FAULT_SECONDS = 2.0
_SHARE = 0.6


class Ours(Subject):
    """Writes objects to a folder of the bucket; the folder has the topic's name."""

    name = OURS

    @contextmanager
    def running(self) -> Iterator[None]:
        upstream = urlsplit(self.trial.environment[_STORE]).port or 0
        with FaultyProxy(upstream, self.trial.seed, object_seconds=OBJECT_SECONDS) as self._proxy:
            yield

    def command(self, worker: int) -> Command:
        return Command(
            [sys.executable, "-m", "benchmarks.shootout.sinks.ours_worker", self.trial.topic],
            {
                **self.trial.environment,
                _STORE: f"http://127.0.0.1:{self._proxy.port}",
                "FRAUDSTREAM_LAKE_FLUSH_SECONDS": str(FLUSH_SECONDS),
            },
        )

    def reader(self) -> Reader:
        return Objects(lake(self.trial.environment), f"{self.trial.topic}/")

    def fail_store(self, fleet: Fleet) -> None:
        for fault in _FAULTS:
            with self._proxy.fault(fault, _SHARE):
                time.sleep(_FAULT_SECONDS)
