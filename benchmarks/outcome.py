"""What a measured process tells its parent; the standard library alone, for it runs in other environments too."""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Timed:
    """Seconds between the start and the end of :func:`timed`, and what the work says of itself."""

    def __init__(self) -> None:
        self.items = 0
        self.also: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Starts the clock, again if it was running: what came before doesn't count."""
        self.started, self.cpu = time.perf_counter(), cpu_seconds()


@contextmanager
def timed() -> Iterator[Timed]:
    """Times the block and prints the outcome as the process's last line: items, seconds, peak_rss_mib."""
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
    """Highest resident memory of a process so far. ru_maxrss isn't it: that has the parent's before exec."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
