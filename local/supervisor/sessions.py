"""Finding and ending all the processes of a part, also those that it forgot or that outlived it.

Each part is started in a session of its own. What it starts stays in the session (Airflow's task processes make
process groups, so groups aren't enough) or is a child of one that is in it (each connection of Postgres is a session).
A session's number can't be given to a new process while anything is left in it, so the number and the start time of
its first process find it even when that process is gone.
"""

import json
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from fraudstream.errors import FraudstreamError

#: seconds that the clock may have been set by since a process was started
_CLOCK_TOLERANCE = 60


@dataclass(frozen=True)
class Session:
    """The processes of one started part."""

    #: pid of the first process
    id: int
    #: seconds since 1970 when it was started
    started: float

    def processes(self) -> list[psutil.Process]:
        """What is alive in it."""
        try:
            first = psutil.Process(self.id)
            if abs(first.create_time() - self.started) > _CLOCK_TOLERANCE:
                return []  # the number is another process's by now
        except psutil.NoSuchProcess:
            pass
        everything = list(psutil.process_iter(["ppid", "status"]))
        found = {process.pid for process in everything if _session_of(process.pid) == self.id}
        grew = bool(found)
        while grew:
            children = {process.pid for process in everything if process.info["ppid"] in found} - found
            found |= children
            grew = bool(children)
        return [p for p in everything if p.pid in found and p.info["status"] != psutil.STATUS_ZOMBIE]

    def pss(self) -> int:
        """Bytes of memory, shared pages counted by their share."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue  # gone since it was listed, or another user's
        return total

    def signal_first(self, number: int) -> None:
        """Sends a signal to the first process; if it has ended, to the processes that it started."""
        alive = self.processes()
        _send(number, [process for process in alive if process.pid == self.id] or alive)

    def signal(self, number: int) -> None:
        """Sends a signal to every process in it."""
        _send(number, self.processes())


class Record:
    """The file that says which sessions the supervisor started: it outlives the supervisor."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Session]:
        """Sessions by part; none where there is no file."""
        if not self._path.exists():
            return {}
        return {part: Session(**fields) for part, fields in json.loads(self._path.read_text()).items()}

    def write(self, sessions: dict[str, Session]) -> None:
        """Replaces the record as a whole."""
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({part: asdict(session) for part, session in sessions.items()}))
        new.replace(self._path)

    def forget(self) -> None:
        """Removes the record, once nothing it names is alive."""
        self._path.unlink(missing_ok=True)


def sweep(sessions: Iterable[Session], grace: float = 10) -> int:
    """Ends all processes of the sessions: SIGTERM, after `grace` seconds SIGKILL. Returns how many there were.

    :raises FraudstreamError: some are there still `grace` seconds after SIGKILL
    """
    sessions = list(sessions)
    count = sum(len(session.processes()) for session in sessions)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for session in sessions:
            session.signal(number)
        deadline = time.monotonic() + grace
        while left := [process.pid for session in sessions for process in session.processes()]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
    if left:
        raise FraudstreamError(f"processes {left} of the stack don't end even by SIGKILL; see what holds them")
    return count


def _send(number: int, processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it ended since it was listed
            process.send_signal(number)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
