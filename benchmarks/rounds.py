"""Runs what is measured: a process for each, one after the other, in rounds, while the machine is quiet."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
from fraudstream.errors import FraudstreamError
from fraudstream.settings import ROOT

#: What other processes may take of the machine when a measurement starts, and how long that is waited for.
_QUIET_SHARE = 0.2
_QUIET_WITHIN = 10.0
#: The number of the round that isn't counted.
WARM_UP = 99


class BenchmarkFailed(FraudstreamError):
    """A measured process failed, or what it did isn't what it had to do."""


@dataclass(frozen=True)
class Subject:
    """One thing to measure: a module to run, with its arguments in each round."""

    name: str
    module: str
    arguments: Callable[[int], Sequence[object]]
    python: str = sys.executable


@dataclass
class Figures:
    """What a subject did in each round; rates are items a second."""

    outcomes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [outcome["items"] / outcome["seconds"] for outcome in self.outcomes]

    @property
    def median(self) -> float:
        return float(statistics.median(self.rates))

    @property
    def items(self) -> int:
        return int(self.outcomes[0]["items"])

    @property
    def peak_rss_mib(self) -> float:
        return float(max(outcome["peak_rss_mib"] for outcome in self.outcomes))


def run_rounds(
    subjects: Sequence[Subject], rounds: int, environment: Mapping[str, str], say: Callable[[str], None]
) -> dict[str, Figures]:
    """Each subject once a round, every other round in reverse, so that no one always runs first.

    Each runs once before, uncounted: the brokers' Java is slow until it is compiled.
    """
    figures = {subject.name: Figures() for subject in subjects}
    for subject in subjects:
        run(subject.module, subject.arguments(WARM_UP), environment, python=subject.python)
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else list(reversed(subjects)):
            busy = wait_until_quiet()
            outcome = run(subject.module, subject.arguments(number), environment, python=subject.python)
            figures[subject.name].outcomes.append(outcome)
            noise = f"; other processes took {busy:.0%} of the machine before" if busy > _QUIET_SHARE else ""
            say(
                f"round {number + 1} {subject.name}: {outcome['items']:,} in {outcome['seconds']:.2f} s, "
                f"{outcome['items'] / outcome['seconds']:,.0f}/s, CPU {outcome['cpu_seconds']:.1f} s, "
                f"peak RSS {outcome['peak_rss_mib']:.0f} MiB{noise}"
            )
    return figures


def run(
    module: str, arguments: Sequence[object], environment: Mapping[str, str], *, python: str = sys.executable
) -> dict[str, Any]:
    """What one process measured, and `process_seconds`: its start and its imports are in them, too.

    :raises BenchmarkFailed: it failed; the message has the end of what it said
    """
    command = [python, "-m", module, *map(str, arguments)]
    started = time.perf_counter()
    done = subprocess.run(command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkFailed(f"{module} {list(arguments)} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    seconds = time.perf_counter() - started
    return {**json.loads(done.stdout.splitlines()[-1]), "process_seconds": seconds}


def wait_until_quiet() -> float:
    """Waits until the machine is quiet, or for long enough; the share of it that is busy now."""
    deadline = time.monotonic() + _QUIET_WITHIN
    while (busy := float(psutil.cpu_percent(1.0)) / 100) > _QUIET_SHARE and time.monotonic() < deadline:
        pass
    return busy
