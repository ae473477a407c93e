"""Measures a process and prints its outcome for the parent process.

The module uses the standard library only, because it also runs in the peers' environments.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Timed:
    """The clock of :func:`timed`, the number of processed items, and further fields of the outcome."""

    def __init__(self) -> None:
        self.items = 0
        self.also: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Starts or restarts the clock."""
        self.started, self.cpu = time.perf_counter(), cpu_seconds()


@contextmanager
def timed() -> Iterator[Timed]:
    """Times the block and prints the outcome as JSON: items, seconds, cpu_seconds, peak_rss_mib and `also`."""
    work = Timed()
    yield work
    outcome = {
        "items": work.items,
        "seconds": time.perf_counter() - work.started,
        "cpu_seconds": cpu_seconds() - work.cpu,
        "peak_rss_mib": peak_rss_mib(),
        **work.also,
    }
    sys.stdout.write(json.dumps(outcome) + "\n")
    sys.stdout.flush()


def cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended, so far."""
    return sum(os.times()[:4])


def peak_rss_mib(process: int | str = "self") -> float:
    """The highest resident memory of a process so far. ru_maxrss would include the parent's memory before exec."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
