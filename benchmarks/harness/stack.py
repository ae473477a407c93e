"""The benchmarks' stack: a second local stack with its own ports and empty state, which is removed at the end.

A developer's running stack isn't used, because its DAGs would mail and audit a million benchmark rows.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from fraudstream.settings import ROOT

from benchmarks.harness.rounds import BenchmarkFailed
from local.programs import artifacts
from local.stack.applications import pipeline
from local.stack.environment import LOGS, STACK, VAR, stack_environment
from local.stack.ports import STACK_NUMBER, Ports
from local.stack.services import kafka, schema_registry, store
from local.supervisor.control import Control
from local.supervisor.part import Exits, Part

FOLDER = ROOT / "var" / "benchmarks"


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with the number of the benchmarks' stack and without other FRAUDSTREAM_* variables."""
    machine = {name: value for name, value in environment.items() if not name.startswith("FRAUDSTREAM_")}
    return {**machine, STACK_NUMBER: "8"}


@contextmanager
def stack(
    say: Callable[[str], None], more: Callable[[Ports], Sequence[Part]] = lambda _: ()
) -> Iterator[dict[str, str]]:
    """Runs a stack with empty topics and an empty bucket; yields the environment for processes that use it.

    :param more: returns further parts beyond brokers, registry, store and topics
    :raises BenchmarkFailed: another benchmark is running
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchmarkFailed("another benchmark is running: they share a stack, and the machine") from None
        yield from _running(say, more)


def _running(say: Callable[[str], None], more: Callable[[Ports], Sequence[Part]]) -> Iterator[dict[str, str]]:
    control = Control(STACK, LOGS)
    _remove(control)
    STACK.mkdir(parents=True)
    ports = Ports.from_environment()
    files = artifacts.fetch_all(lambda what: say(f"downloading {what}"))
    topics, _ = pipeline(ports)
    parts = [
        *kafka(ports, files),
        schema_registry(ports, files[artifacts.REGISTRY]),
        store(ports),
        topics,
        *more(ports),
    ]
    say(f"starting {', '.join(part.name for part in parts if not isinstance(part.ready, Exits))} with empty state")
    try:
        control.up(parts, lambda _: None)
        catalog = {"FRAUDSTREAM_LAKE_CATALOG_URI": f"sqlite:///{STACK}/catalog.db"}
        environment = {
            **stack_environment(),
            **catalog,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")]),
        }
        yield environment
    finally:
        _remove(control)


def _remove(control: Control) -> None:
    control.down()
    if VAR.exists():
        shutil.rmtree(VAR)
