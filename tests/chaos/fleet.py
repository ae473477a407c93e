"""The workers as processes. They are restarted when they end, after growing pauses, as with Airflow's retries."""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fraudstream.settings import ROOT

from tests.chaos.workers import FENCED, TEMPORARY

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
#: A worker that ran for this time is restarted without a pause.
_HEALTHY_SECONDS = 15.0


class Interruption(NamedTuple):
    """A worker that was stopped during its work by a signal or an error, and the time (seconds since 1970)."""

    at: float
    worker: str
    what: str


@dataclass
class Worker:
    """A worker and its current process."""

    name: str
    arguments: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    #: Offset in the log at which this process starts, in bytes.
    log_start: int = 0
    pause: float = _FIRST_PAUSE
    start_at: float = 0.0
    done: bool = False
    retiring: bool = False
    killed: set[int] = field(default_factory=set)

    @property
    def wanted(self) -> bool:
        """Whether it should run."""
        return not (self.done or self.retiring)


class Fleet:
    """Starts workers, watches them from a thread, and sends them signals; a context manager."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        self._environment = dict(environment)
        self._logs = logs
        self._workers: dict[str, Worker] = {}
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="fleet")
        self.interruptions: list[Interruption] = []
        #: Events that no fault explains: a crash, or an error that a retry would not resolve.
        self.findings: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    def __enter__(self) -> "Fleet":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for worker in self._workers.values():
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(signal.SIGCONT)
                worker.process.kill()
                worker.process.wait()

    def add(self, name: str, *arguments: str) -> None:
        """Starts a worker (see :mod:`tests.chaos.workers` for its arguments)."""
        with self._lock:
            self._workers[name] = worker = Worker(name, arguments)
            self._start(worker)

    def kill(self, name: str) -> None:
        """Sends SIGKILL as soon as the worker runs; the worker is restarted."""
        self._signal(name, signal.SIGKILL, "kill -9")

    def freeze(self, name: str) -> None:
        """Sends SIGSTOP as soon as the worker runs."""
        self._signal(name, signal.SIGSTOP, "SIGSTOP")

    def thaw(self, name: str) -> None:
        """Sends SIGCONT."""
        with self._lock:
            process = self._workers[name].process
            if process is not None:
                self.interruptions.append(Interruption(time.time(), name, "SIGCONT"))
                process.send_signal(signal.SIGCONT)

    def retire(self, *names: str, seconds: float = 90.0) -> None:
        """Sends SIGTERM and waits until the workers have finished their batches. A worker that doesn't is a finding."""
        with self._lock:
            workers = [self._workers[name] for name in names]
            processes = [worker.process for worker in workers]
            for worker, process in zip(workers, processes, strict=True):
                worker.retiring = True
                if process is not None:
                    process.terminate()
        deadline = time.monotonic() + seconds
        for name, process in zip(names, processes, strict=True):
            try:
                if process is not None:
                    process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.findings[f"{name} didn't end within {seconds:.0f} s of SIGTERM: {self._last_words(name)}"] += 1
                self._signal(name, signal.SIGKILL, "kill -9")

    def wait_settled(self, name: str, lived: float, seconds: float) -> None:
        """Waits until the worker's process has run for some seconds.

        :raises TimeoutError: it hasn't, within `seconds`
        """
        worker = self._workers[name]
        self._wait(
            lambda: worker.process is not None and time.monotonic() - worker.started > lived, f"{name} fails", seconds
        )

    def wait_done(self, name: str, seconds: float) -> None:
        """Waits until the worker has finished all its work; it is a finding if it doesn't."""
        try:
            self._wait(lambda: self._workers[name].done, f"{name} isn't done", seconds)
        except TimeoutError as error:
            self.findings[f"{error}: {self._last_words(name)}"] += 1

    def log(self, name: str) -> Path:
        """Output of all processes of a worker."""
        return self._logs / f"{name}.log"

    def said(self, name: str) -> str:
        """The text that the worker's current process has logged so far."""
        return self.log(name).read_bytes()[self._workers[name].log_start :].decode(errors="replace")

    def _wait(self, condition: Callable[[], bool], problem: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{problem} after {seconds:.0f} s")
            time.sleep(0.1)

    def _signal(self, name: str, number: signal.Signals, what: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self._lock:
                worker = self._workers[name]
                if worker.process is not None and worker.process.poll() is None:
                    self.interruptions.append(Interruption(time.time(), name, what))
                    if number is signal.SIGKILL:
                        worker.killed.add(worker.process.pid)
                    worker.process.send_signal(number)
                    return
                if worker.done:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{name} doesn't run after {seconds:.0f} s, {what} has no victim")

    def _start(self, worker: Worker) -> None:
        with self.log(worker.name).open("ab") as output:
            worker.log_start = output.tell()
            worker.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.workers", *worker.arguments],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        worker.started = time.monotonic()

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            with self._lock:
                for worker in list(self._workers.values()):
                    if worker.process is not None and worker.process.poll() is not None:
                        self._ended(worker, worker.process)
                    elif worker.process is None and worker.wanted and time.monotonic() >= worker.start_at:
                        self._start(worker)

    def _ended(self, worker: Worker, process: subprocess.Popen[bytes]) -> None:
        code = process.returncode
        worker.process = None
        if code == 0:
            worker.done = True
            self.ends["finished"] += 1
            return
        if code == -signal.SIGKILL and process.pid in worker.killed:
            self.ends["killed"] += 1
        elif code == -signal.SIGTERM and worker.retiring:
            # The signal came while Python was starting: the worker had done nothing yet.
            self.ends["left before it began"] += 1
        elif code in {TEMPORARY, FENCED}:
            self.interruptions.append(Interruption(time.time(), worker.name, "own error"))
            self.ends["fenced" if code == FENCED else "failed for now"] += 1
        else:
            self.interruptions.append(Interruption(time.time(), worker.name, "own error"))
            self.findings[f"{worker.name} ended with {code}: {self._last_words(worker.name)}"] += 1
        healthy = time.monotonic() - worker.started > _HEALTHY_SECONDS
        worker.pause = _FIRST_PAUSE if healthy else min(_LONGEST_PAUSE, 2 * worker.pause)
        worker.start_at = time.monotonic() + worker.pause

    def _last_words(self, name: str) -> str:
        """The last line of a Python process without the time: its error, or its last log message."""
        lines = self.log(name).read_text(errors="replace").splitlines()
        return lines[-1][24:] if lines and lines[-1].startswith("20") else lines[-1] if lines else "nothing"
