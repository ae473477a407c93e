"""The base class of what is compared: a sink that writes a topic's records to files."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.shootout.fleet import Command, Fleet
from benchmarks.shootout.readers import Reader

#: Session timeout in every subject that has a consumer group.
SESSION_SECONDS = 10
#: Seconds between two writes or commits, in every subject.
FLUSH_SECONDS = 5
#: Limit of a file's size, in bytes, while the disk is "full".
_FULL_AT = 4096
_DISK_FAILS_SECONDS = 8.0


@dataclass(frozen=True)
class Trial:
    """One subject's run: its topic, its own empty folder, and the environment with the brokers' addresses."""

    topic: str
    folder: Path
    environment: Mapping[str, str]
    seed: int

    @property
    def files(self) -> Path:
        """The folder for subjects that write to disk."""
        return self.folder / "files"


class Subject(ABC):
    """A sink in one trial. An instance is used for one run only."""

    name: str
    #: Whether a second worker takes over a part of the work.
    has_group = True

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    @abstractmethod
    def command(self, worker: int) -> Command:
        """The command of a worker: 1, 2 for the second one, 3 for the one that starts after a restart of all."""

    @abstractmethod
    def reader(self) -> Reader:
        """A new reader, which has read nothing yet."""

    def other_reader(self) -> tuple[str, Reader] | None:
        """Name and reader for another way to read the same files, if that may give other counts; else None."""
        return None

    def attend(self) -> None:  # noqa: B027
        """Does what a user of the sink would automate, such as restarts; called every second."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """A context that is entered while the workers run."""
        yield

    def fail_store(self, fleet: Fleet) -> None:
        """Makes the store fail for some seconds: all processes of the subject write to a "full" disk."""
        for _ in _every(0.2, _DISK_FAILS_SECONDS):
            fleet.limit_files(_FULL_AT)
        fleet.limit_files(-1)


def _every(seconds: float, whole: float) -> Iterator[None]:
    for _ in range(round(whole / seconds)):
        yield
        time.sleep(seconds)
