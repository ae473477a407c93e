"""Finds and ends all processes of a part, also those that its first process no longer knows or that outlived it.

Each part is started in its own session. Processes that it starts stay in the session, or are children of a process in
it: each backend process of Postgres makes its own session. Process groups wouldn't be enough, because Airflow's task
processes make their own. The kernel doesn't reuse a session's id while a process is left in it. So the id, together
with the start time of the first process, identifies the session even after that process has ended.
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

#: seconds by which the clock may have been adjusted since a process was started
_CLOCK_TOLERANCE = 60


@dataclass(frozen=True)
class Session:
    """The processes of one started part."""

    #: pid of the first process
    id: int
    #: seconds since 1970 when it was started
    started: float

    def processes(self) -> list[psutil.Process]:
        """The running processes of the session and their descendants, without zombies."""
        try:
            first = psutil.Process(self.id)
            if abs(first.create_time() - self.started) > _CLOCK_TOLERANCE:
                return []  # the session has ended, and another process has its id now
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
        """The memory (PSS) of all its processes, in bytes."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue  # it has ended since it was listed, or belongs to another user
        return total

    def signal_first(self, number: int) -> None:
        """Sends a signal to the first process; if that has ended, to all other processes."""
        alive = self.processes()
        _send(number, [process for process in alive if process.pid == self.id] or alive)

    def signal(self, number: int) -> None:
        """Sends a signal to every process in it."""
        _send(number, self.processes())


class Record:
    """The file with the sessions that the supervisor started. It survives the supervisor."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, Session]:
        """The sessions by part; empty if there is no file."""
        if not self._path.exists():
            return {}
        return {part: Session(**fields) for part, fields in json.loads(self._path.read_text()).items()}

    def write(self, sessions: dict[str, Session]) -> None:
        """Replaces the file atomically."""
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({part: asdict(session) for part, session in sessions.items()}))
        new.replace(self._path)

    def forget(self) -> None:
        """Removes the file. Call it only when no process of the sessions is left."""
        self._path.unlink(missing_ok=True)


def sweep(sessions: Iterable[Session], grace: float = 10) -> int:
    """Ends all processes of the sessions: SIGTERM, then SIGKILL after `grace` seconds. Returns their number.

    :raises FraudstreamError: some still run `grace` seconds after SIGKILL
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
