"""The local stack's brokers, registry and store, once more: fresh state, ports of their own, removed at the end.

The stack that a developer has running isn't touched: a million benchmark rows in its topics would be mailed and
audited by its DAGs.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from fraudstream.settings import ROOT

from benchmarks.rounds import BenchmarkFailed
from local import artifacts
from local.applications import pipeline
from local.environment import LOGS, STACK, VAR, stack_environment
from local.ports import STACK_NUMBER, Ports
from local.services import kafka, schema_registry, store
from local.supervisor.control import Control
from local.supervisor.part import Exits, Part

FOLDER = ROOT / "var" / "benchmarks"


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which this module's imports mean the benchmarks' stack."""
    machine = {name: value for name, value in environment.items() if not name.startswith("FRAUDSTREAM_")}
    return {**machine, STACK_NUMBER: "8"}


@contextmanager
def stack(
    say: Callable[[str], None], more: Callable[[Ports], Sequence[Part]] = lambda _: ()
) -> Iterator[dict[str, str]]:
    """A stack with empty topics and an empty bucket; the environment for what talks to it.

    :param more: parts that are wanted beyond brokers, registry, store and topics
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
