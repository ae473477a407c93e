"""The processes of a subject: restarts them as a supervisor would, and injects faults into them."""

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import psutil

_LOOK_SECONDS = 0.5
#: Seconds after which a worker that has ended is started again.
_RESTART_SECONDS = 1.0
_STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Command:
    """The command line and the environment of a worker."""

    arguments: Sequence[object]
    environment: Mapping[str, str]


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    #: Whether it is restarted when it ends.
    kept: bool = True
    ended_at: float | None = None


class Fleet:
    """Workers by number; a context manager that kills all of them at its end. Each worker is its own process group.

    :param folder: their working folder, also for their logs
    :param command: called with the number of a worker whenever the worker is started
    """

    def __init__(self, folder: Path, command: Callable[[int], Command]) -> None:
        self._folder = folder
        self._command = command
        self._workers: dict[int, _Worker] = {}
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="fleet")
        self.peak_mib = 0.0
        self.restarts = 0

    def __enter__(self) -> "Fleet":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for number in list(self._workers):
            self._signal(number, signal.SIGKILL)
            self._workers[number].process.wait()

    def log(self, number: int) -> Path:
        """Path of a worker's log, which restarts append to."""
        return self._folder / f"worker-{number}.log"

    def start(self, number: int) -> None:
        """Starts a worker, which is restarted from now on whenever it ends."""
        with self._lock:
            self._workers[number] = _Worker(self._spawn(number))

    def kill(self, number: int) -> None:
        """Sends SIGKILL; the worker is restarted."""
        self._signal(number, signal.SIGKILL)

    def freeze(self, number: int) -> None:
        """Stops a worker with SIGSTOP."""
        self._signal(number, signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """Continues a worker with SIGCONT. It isn't restarted any more, because another worker has replaced it."""
        self._let_go(number)
        self._signal(number, signal.SIGCONT)

    def retire(self, number: int) -> None:
        """Ends a worker for good: SIGTERM, then SIGKILL after 20 s."""
        worker = self._let_go(number)
        self._signal(number, signal.SIGTERM)
        try:
            worker.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(number, signal.SIGKILL)
            worker.process.wait()

    def retire_all(self) -> None:
        """Retires every worker."""
        for number in sorted(self._workers):
            self.retire(number)

    def limit_files(self, size: int) -> None:
        """Limits the size of files that processes write, in bytes: larger writes fail with EFBIG. -1: no limit."""
        for process in self._processes():
            try:
                process.rlimit(psutil.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            except psutil.NoSuchProcess:
                continue

    def _let_go(self, number: int) -> _Worker:
        """Marks a worker as one that isn't restarted."""
        with self._lock:  # not in the middle of a restart
            worker = self._workers[number]
            worker.kept = False
        return worker

    def _processes(self) -> list[psutil.Process]:
        found = []
        with self._lock:
            for worker in self._workers.values():
                try:
                    first = psutil.Process(worker.process.pid)
                    found += [first, *first.children(recursive=True)]
                except psutil.NoSuchProcess:
                    continue
        return found

    def _keep(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            with self._lock:
                for number, worker in self._workers.items():
                    if worker.process.poll() is None or not worker.kept:
                        continue
                    worker.ended_at = worker.ended_at or time.monotonic()
                    if time.monotonic() - worker.ended_at >= _RESTART_SECONDS:
                        worker.process, worker.ended_at = self._spawn(number), None
                        self.restarts += 1
            self.peak_mib = max(self.peak_mib, sum(map(_rss, self._processes())) / 2**20)

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        command = self._command(number)
        with self.log(number).open("ab") as log:
            return subprocess.Popen(
                list(map(str, command.arguments)),
                env=dict(command.environment),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _signal(self, number: int, what: signal.Signals) -> None:
        with self._lock:
            try:
                os.killpg(self._workers[number].process.pid, what)
            except ProcessLookupError:
                return


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
