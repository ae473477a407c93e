"""Measures CPU and memory of the stack's parts; the consumers' tasks are separated from the other tasks of Airflow."""

import re
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

import psutil

from local.stack.environment import STACK
from local.supervisor.sessions import Record
from local.supervisor.supervisor import SESSIONS

_SECONDS = 5.0
_PARTS = {
    "kafka": "brokers",
    "schema-registry": "schema registry",
    "gcs": "object store",
    "mail": "mail server",
    "postgres": "database",
    "airflow-triggerer": "triggerer",
    "airflow": "Airflow",
    "confirmation": "site",
}
_CONSUMERS = {"write_lake", "send_mail", "open_cases"}
#: Matches the titles of a task's two processes, supervisor and runner; they end with the id of the task instance.
_TASK = re.compile(r"airflow worker -- (?:LocalExecutor: )?([0-9a-f-]{36})")


def part_of(name: str, title: str, tasks: Mapping[str, str]) -> str:
    """The part to which a process is attributed.

    :param name: the stack's part that started the process
    :param title: the process's command line
    :param tasks: task id by the id of its task instance
    """
    if found := _TASK.search(title):
        task = tasks.get(found[1], "")
        return task if task in _CONSUMERS else "other tasks"
    return next(part for beginning, part in _PARTS.items() if name.startswith(beginning))


class Usage:
    """Reads CPU and memory of all processes every five seconds while the context is entered.

    CPU time that a process uses after the last reading before its end isn't counted.
    """

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        #: By pid and start time of each process: the stack's part, the title, and CPU seconds.
        self._processes: dict[tuple[int, float], tuple[str, str, float]] = {}
        #: For each reading: bytes (PSS) by part and title.
        self._memory: list[Counter[tuple[str, str]]] = []

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def cpu(self, tasks: Mapping[str, str]) -> dict[str, float]:
        """CPU seconds by part so far."""
        found: Counter[str] = Counter()
        for name, title, seconds in list(self._processes.values()):
            found[part_of(name, title, tasks)] += seconds  # type: ignore[assignment]
        return dict(found)

    def peak_mib(self, tasks: Mapping[str, str]) -> dict[str, int]:
        """The highest memory (PSS, in MiB) of each part in one reading."""
        peaks: dict[str, float] = {}
        for look in self._memory:
            parts: Counter[str] = Counter()
            for (name, title), size in look.items():
                parts[part_of(name, title, tasks)] += size
            peaks |= {part: max(size, peaks.get(part, 0)) for part, size in parts.items()}
        return {part: round(size / 2**20) for part, size in peaks.items()}

    def _watch(self) -> None:
        while not self._ended.wait(_SECONDS):
            self._look()

    def _look(self) -> None:
        memory: Counter[tuple[str, str]] = Counter()
        for name, session in Record(STACK / SESSIONS).read().items():
            for process in session.processes():
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # it ended since it was listed
                    title = " ".join(process.cmdline())
                    times = process.cpu_times()
                    key = process.pid, process.create_time()
                    self._processes[key] = name, title, times.user + times.system
                    memory[name, title] += process.memory_full_info().pss
        self._memory.append(memory)
