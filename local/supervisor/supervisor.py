"""Starts each part of the stack when the parts that it depends on are ready, watches it, and stops it."""

import asyncio
import logging
import os
import shutil
import signal
import time
from pathlib import Path

from pydantic import TypeAdapter

from local.supervisor.part import AT_REST, Exits, Part, State, Status
from local.supervisor.sessions import Record, Session

logger = logging.getLogger("local.supervisor")

PARTS = "parts.json"
SOCKET = "supervisor.sock"
SESSIONS = "sessions.json"
#: interval of checks while a part starts or stops
POLL_SECONDS = 0.2
#: a log above this size is copied to .log.1 and truncated; the interval of this check
LOG_BYTES, LOG_SECONDS = 20 << 20, 10
LOG_TAIL_LINES = 25


class Supervisor:
    """Runs parts; all its methods belong to one event loop."""

    def __init__(self, state: Path, logs: Path) -> None:
        self._state = state
        self._logs = logs
        self._record = Record(state / SESSIONS)
        self._parts: dict[str, Part] = {}
        self._status: dict[str, Status] = {}
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Condition()
        self.finished = asyncio.Event()

    # -- commands

    async def up(self) -> None:
        """Starts every part of parts.json that isn't running. Removes stopped parts that parts.json no longer has."""
        parts = TypeAdapter(list[Part]).validate_json((self._state / PARTS).read_bytes())
        for name in self._status.keys() - {part.name for part in parts}:
            if self._status[name].state in AT_REST:
                del self._parts[name], self._status[name]
        for part in parts:
            if part.name not in self._status or self._status[part.name].state in AT_REST:
                self._start(part)

    async def start(self, name: str) -> None:
        """Starts one part that isn't running."""
        if self._status[name].state in AT_REST | {State.DONE}:
            self._start(self._parts[name])

    async def stop(self, name: str) -> None:
        """Stops one part and all its processes. Parts that depend on it keep running."""
        status = self._status[name]
        status.state = State.STOPPING
        await self._end(self._parts[name])
        await self._move(status, State.STOPPED)

    async def kill(self, name: str) -> None:
        """Sends SIGKILL to all processes of a part, to simulate a crash. The part's state becomes DIED."""
        self._sessions[name].signal(signal.SIGKILL)

    async def down(self) -> None:
        """Stops all parts, each one after the parts that need it, then ends the supervisor."""
        for status in self._status.values():
            if status.state not in AT_REST:
                status.state = State.STOPPING
        await asyncio.gather(*(self._stop_in_order(part) for part in self._parts.values()))
        self.finished.set()

    async def status(self) -> list[dict[str, object]]:
        """The `Status` of each part as JSON values."""
        return [status.model_dump() for status in self._status.values()]

    async def faults(self) -> dict[str, str]:
        """Repeats the readiness checks of all parts that are READY; returns the failed ones as messages by part."""
        ready = [part for part in self._parts.values() if self._status[part.name].state is State.READY]
        return dict(filter(None, await asyncio.gather(*map(self._fault, ready))))

    async def _fault(self, part: Part) -> tuple[str, str] | None:
        started = self._status[part.name].started
        if started is None or isinstance(part.ready, Exits):
            return None
        try:
            passed = await part.ready.passes(started)
        except Exception as error:  # noqa: BLE001 - an error in one check must not hide the results of the others
            return part.name, f"its readiness check raised {error!r}"
        return None if passed else (part.name, part.ready.fault)

    # -- the lifecycle of one part

    def _start(self, part: Part) -> None:
        self._parts[part.name] = part
        self._status[part.name] = Status(name=part.name, state=State.WAITING, address=part.address)
        self._tasks[part.name] = asyncio.create_task(self._live_or_fail(part, self._status[part.name]), name=part.name)

    async def _live_or_fail(self, part: Part, status: Status) -> None:
        """Runs a part. Any exception, also one of the supervisor itself or of a readiness check, makes it FAILED."""
        try:
            await self._live(part, status)
        except Exception as error:
            logger.exception("%s can't be looked after", part.name)
            await self._end(part)
            await self._fail(part, status, State.FAILED, f"can't be looked after: {error!r}")

    async def _live(self, part: Part, status: Status) -> None:
        # 1. Wait until the parts that it depends on are ready. If one of them isn't running, don't start.
        if not await self._dependencies_ready(part, status):
            return
        # 2. A part with a marker file has run already and isn't run again.
        if isinstance(part.ready, Exits) and part.ready.marker and part.ready.marker.exists():
            await self._move(status, State.DONE)
            return
        # 3. Start it and wait until it is ready.
        try:
            process = await self._spawn(part, status)
        except OSError as error:
            await self._fail(part, status, State.FAILED, f"can't be started: {error}")
            return
        exited = asyncio.create_task(process.wait())
        problem = await self._until_ready(part, status, exited)
        if problem:
            await self._end(part)
            if status.state is State.STARTING:
                await self._fail(part, status, State.FAILED, problem)
            return
        # 4. Watch it.
        if not isinstance(part.ready, Exits):
            code = await exited
            if status.state is State.READY:
                await self._end(part)  # processes that it started must not outlive it
                await self._fail(part, status, State.DIED, f"{_exit(code)}, {_uptime(status)} after its start")

    async def _dependencies_ready(self, part: Part, status: Status) -> bool:
        def settled() -> bool:
            return status.state is not State.WAITING or all(
                self._status[name].state in AT_REST | {State.READY, State.DONE} for name in part.depends_on
            )

        async with self._changed:
            await self._changed.wait_for(settled)
        missing = [name for name in part.depends_on if self._status[name].state in AT_REST]
        if missing and status.state is State.WAITING:
            await self._move(status, State.STOPPED, f"not started: {', '.join(missing)} isn't running")
        return status.state is State.WAITING

    async def _spawn(self, part: Part, status: Status) -> asyncio.subprocess.Process:
        log = self.log(part.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:  # append mode: after rotate_logs() truncates the file, output starts at 0 again
            process = await asyncio.create_subprocess_exec(
                *part.command,
                env=part.env,
                cwd=part.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        status.pid = process.pid
        status.started = time.time()
        self._sessions[part.name] = Session(process.pid, status.started)
        self._record.write(self._sessions)
        await self._move(status, State.STARTING)
        return process

    async def _until_ready(self, part: Part, status: Status, exited: "asyncio.Task[int]") -> str:
        """Waits until a part is ready or done; returns an empty string then, else the reason why it isn't."""
        assert status.started is not None  # noqa: S101 - set by _spawn
        while status.state is State.STARTING:
            if exited.done():
                if not isinstance(part.ready, Exits) or exited.result() != 0:
                    return f"{_exit(exited.result())} before it was ready"
                if part.ready.marker:
                    part.ready.marker.touch()
                await self._move(status, State.DONE)
                return ""
            if not isinstance(part.ready, Exits) and await part.ready.passes(status.started):
                await self._move(status, State.READY)
                return ""
            if time.time() - status.started > part.ready_within:
                return f"not ready within {part.ready_within:.0f} s"
            await asyncio.wait([exited], timeout=POLL_SECONDS)
        return "stopped while it was starting"

    async def _end(self, part: Part) -> None:
        """Ends every process of a part: sends its stop signal, and SIGKILL to those that run after `stop_within`."""
        session = self._sessions.get(part.name)
        if session is None:
            return
        deadline = time.monotonic() + part.stop_within
        (session.signal if part.stop_all else session.signal_first)(part.stop_signal)
        while session.processes():
            if time.monotonic() > deadline:
                logger.warning("%s: SIGKILL to processes that run after %.0f s", part.name, part.stop_within)
                session.signal(signal.SIGKILL)
            await asyncio.sleep(POLL_SECONDS)

    async def _stop_in_order(self, part: Part) -> None:
        needed_by = {other.name for other in self._parts.values() if part.name in other.depends_on}
        needed_by |= {name for name in part.stops_after if name in self._parts}
        status = self._status[part.name]

        def unneeded() -> bool:
            return all(self._status[name].state is not State.STOPPING for name in needed_by)

        if status.state is State.STOPPING:
            async with self._changed:
                self._changed.notify_all()  # a part that waits for its dependencies isn't started any more
                await self._changed.wait_for(unneeded)
            await self._end(part)
            await self._move(status, State.STOPPED)

    async def _fail(self, part: Part, status: Status, state: State, what: str) -> None:
        log = self.log(part.name)
        text = log.read_text(errors="replace") if log.exists() else ""
        tail = "\n".join(text.splitlines()[-LOG_TAIL_LINES:])
        problem = f"{part.name} {what}; the end of {log.name}:\n{tail}"
        logger.error("%s", problem)
        await self._move(status, state, problem)

    async def _move(self, status: Status, state: State, problem: str = "") -> None:
        async with self._changed:
            status.state, status.problem = state, problem
            if state in {State.READY, State.DONE} and status.started is not None:
                status.seconds = time.time() - status.started
                logger.info("%s: %s after %.1f s", status.name, state, status.seconds)
            else:
                logger.info("%s: %s", status.name, state)
            if state in AT_REST | {State.DONE}:
                status.pid = None
            self._changed.notify_all()

    async def rotate_logs(self) -> None:
        """Rotates logs that are too large until it is cancelled. Lines written while a log is copied may be lost."""
        while True:
            await asyncio.sleep(LOG_SECONDS)
            for name in self._parts:
                log = self.log(name)
                if log.exists() and log.stat().st_size > LOG_BYTES:
                    await asyncio.to_thread(shutil.copyfile, log, log.with_suffix(".log.1"))
                    os.truncate(log, 0)

    def log(self, name: str) -> Path:
        """Path of a part's log. The log of its previous start has the suffix .log.1."""
        return self._logs / f"{name}.log"


def _exit(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"


def _uptime(status: Status) -> str:
    return f"{time.time() - (status.started or 0):.0f} s"
