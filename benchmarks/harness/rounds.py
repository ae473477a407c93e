"""Runs the measured subjects in rounds: each in its own process, one after the other, when the machine is quiet."""

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

#: CPU share below which the machine counts as quiet, and seconds to wait for it before a measurement.
_QUIET_SHARE = 0.2
_QUIET_WITHIN = 10.0
#: The number of the round that isn't counted.
WARM_UP = 99


class BenchmarkFailed(FraudstreamError):
    """A measured process failed or had a wrong result, or the benchmark can't run as requested."""


@dataclass(frozen=True)
class Subject:
    """A module to run and measure; `arguments` returns its arguments for the number of a round."""

    name: str
    module: str
    arguments: Callable[[int], Sequence[object]]
    python: str = sys.executable


@dataclass
class Figures:
    """The outcomes of a subject by round; rates are items per second."""

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
    """Runs each subject once in a round, every other round in reverse order, so that none always runs first.

    A warm-up run of each subject comes first and isn't counted: the brokers' Java is slow until it is compiled.
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
    """Runs one process; returns its outcome and `process_seconds`, its whole run time with start and imports.

    :raises BenchmarkFailed: the process failed; the message has the end of its error output
    """
    command = [python, "-m", module, *map(str, arguments)]
    started = time.perf_counter()
    done = subprocess.run(command, env=dict(environment), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkFailed(f"{module} {list(arguments)} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    seconds = time.perf_counter() - started
    return {**json.loads(done.stdout.splitlines()[-1]), "process_seconds": seconds}


def wait_until_quiet() -> float:
    """Waits until the machine is quiet, at most 10 s; returns the share of its CPU that is busy."""
    deadline = time.monotonic() + _QUIET_WITHIN
    while (busy := float(psutil.cpu_percent(1.0)) / 100) > _QUIET_SHARE and time.monotonic() < deadline:
        pass
    return busy
