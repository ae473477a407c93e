"""What is compared: something that writes a topic's records to files."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shootout.fleet import Command, Fleet
from benchmarks.shootout.readers import Reader

#: Members of a group are given up after this time, in every subject that has a group.
SESSION_SECONDS = 10
#: How long records may wait before they are written or committed, in every subject.
FLUSH_SECONDS = 5
#: What the disk takes of a file while it fails.
_FULL_AT = 4096
_DISK_FAILS_SECONDS = 8.0


@dataclass(frozen=True)
class Trial:
    """One subject's run: its topic, its own empty folder, and the environment that leads to the brokers."""

    topic: str
    folder: Path
    environment: Mapping[str, str]
    seed: int

    @property
    def files(self) -> Path:
        """Where subjects that write to the disk write to."""
        return self.folder / "files"


class Subject(ABC):
    """Makes one run of it; what it can't do it says with a :class:`BenchmarkFailed`."""

    name: str
    #: Whether a second worker takes a part of the work.
    has_group = True

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    @abstractmethod
    def command(self, worker: int) -> Command:
        """Of a worker, 1 or 2."""

    @abstractmethod
    def reader(self) -> Reader:
        """A new one, that has read nothing yet."""

    def other_reader(self) -> tuple[str, Reader] | None:
        """Another way to read the same files and its name, where it may see something else."""
        return None

    def attend(self) -> None:  # noqa: B027
        """What somebody who runs it automates, if anything; called every second."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the workers run."""
        yield

    def fail_store(self, fleet: Fleet) -> None:
        """Lets the store fail for some seconds: the disk is full, in all of the subject's processes."""
        for _ in _every(0.2, _DISK_FAILS_SECONDS):
            fleet.limit_files(_FULL_AT)
        fleet.limit_files(-1)


def _every(seconds: float, whole: float) -> Iterator[None]:
    for _ in range(round(whole / seconds)):
        yield
        time.sleep(seconds)
