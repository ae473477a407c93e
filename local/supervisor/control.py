"""The client of the supervisor: starts it and sends it commands."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ROOT
from pydantic import TypeAdapter

from local.stack.ports import taken
from local.supervisor.part import AT_REST, Part, State, Status
from local.supervisor.sessions import Record, sweep
from local.supervisor.supervisor import PARTS, SESSIONS, SOCKET

log = logging.getLogger(__name__)

#: Seconds to wait for `down`; longer than any single part may take to stop.
DOWN_WITHIN = 90


class StackError(FraudstreamError):
    """The stack can't be started, or a part of it doesn't run."""


class Control:
    """The stack whose state is in one folder."""

    def __init__(self, state: Path, logs: Path) -> None:
        self.state = state
        self.logs = logs

    def status(self) -> list[Status]:
        """The status of every part, in the order of their definition; empty if no supervisor runs."""
        answer = self._ask("status")
        return [] if answer is None else TypeAdapter(list[Status]).validate_python(answer)

    def faults(self) -> dict[str, str]:
        """The failed readiness checks, by name, of parts that were ready; takes some seconds if a part hangs."""
        return TypeAdapter(dict[str, str]).validate_python(self._ask("faults") or {})

    def memory(self) -> dict[str, int]:
        """The memory (PSS) of each started part, in bytes."""
        return {part: session.pss() for part, session in Record(self.state / SESSIONS).read().items()}

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a part as the last start of the stack defined it; empty if there was none."""
        definition = self.state / PARTS
        parts = TypeAdapter(list[Part]).validate_json(definition.read_bytes()) if definition.exists() else []
        return next((part.env for part in parts if part.name == name), {})

    def up(self, parts: Sequence[Part], changed: Callable[[list[Status]], None]) -> bool:
        """Starts the parts that are not running and waits until all are ready; False if all were ready already.

        If this call started the supervisor and fails, it stops all parts again.

        :param changed: called several times a second with the status of the parts that this call starts
        :raises StackError: a port is taken (then nothing was started), or a part failed (the message has the end of its
            log)
        """
        # 1. End the processes that a killed supervisor left behind: they hold ports.
        before = {status.name: status for status in self.status()}
        if not before:
            self._sweep()
        # 2. Start nothing while a port is taken.
        starting = [part for part in parts if part.name not in before or before[part.name].state in AT_REST]
        if not starting and all(status.state in {State.READY, State.DONE} for status in before.values()):
            return False
        problems = taken(port for part in starting for port in part.ports)
        if problems:
            raise StackError(
                f"{'; '.join(problems)}. Stop that process, or set another port: FRAUDSTREAM_PORT_<NAME>"
                " (see local/stack/ports.py)"
            )
        # 3. Let the supervisor start the parts, and wait until they are ready.
        self.state.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        definition = self.state / PARTS
        with os.fdopen(os.open(definition, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
            file.write(TypeAdapter(list[Part]).dump_json(list(parts)))
        try:
            if before:
                self._ask("up")
            else:
                self._start_supervisor()
            names = {part.name for part in starting}
            self._wait_until_ready(lambda parts: changed([part for part in parts if part.name in names]))
        except (KeyboardInterrupt, StackError):
            if not before:
                self.down()
            raise
        return True

    def left_over(self) -> int:
        """The number of processes of a stack whose supervisor has ended."""
        sessions = Record(self.state / SESSIONS).read().values()
        return 0 if self.status() else sum(len(session.processes()) for session in sessions)

    def down(self) -> int:
        """Stops all parts in order, kills those that do not stop, and ends processes that a killed supervisor left.

        Returns the number of parts that were running.
        """
        parts = self.status()
        if parts:  # a supervisor runs, even if none of its parts does any more
            try:
                self._ask("down", timeout=DOWN_WITHIN)
            except TimeoutError:
                log.warning("not everything stopped within %d s; ending what is left", DOWN_WITHIN)
                sweep(Record(self.state / SESSIONS).read().values(), grace=1)
        deadline = time.monotonic() + 10
        while (self.state / SESSIONS).exists() and parts and time.monotonic() < deadline:
            time.sleep(0.05)  # the guardian removes the record last
        self._sweep()
        return sum(status.pid is not None for status in parts)

    def command(self, command: str, name: str) -> None:
        """Sends the command `start`, `stop` or `kill` for one part.

        :raises StackError: the stack isn't running, it has no such part, or the part to kill isn't running
        """
        parts = {status.name: status for status in self.status()}
        if not parts:
            raise StackError("the stack isn't running; start it with: make up")
        if name not in parts:
            raise StackError(f"no part is named {name!r}; there are {', '.join(parts)}")
        if command == "kill" and parts[name].pid is None:
            raise StackError(f"{name} isn't running: it is {parts[name].state}")
        self._ask(command, name, timeout=DOWN_WITHIN)

    def _start_supervisor(self) -> None:
        output_file = self.logs / "supervisor.log"
        with output_file.open("ab") as output:
            started = subprocess.run(
                [sys.executable, "-m", "local.supervisor", str(self.state), str(self.logs)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                check=False,
            )
        if started.returncode:
            raise StackError(f"the supervisor exited with {started.returncode}; see {output_file}")

    def _wait_until_ready(self, changed: Callable[[list[Status]], None]) -> None:
        while True:
            parts = self.status()
            if not parts:
                raise StackError(f"the supervisor ended while it started the parts; see {self.logs / 'supervisor.log'}")
            changed(parts)
            failed = [part for part in parts if part.state in {State.FAILED, State.DIED}]
            if failed:
                raise StackError("\n\n".join(part.problem for part in failed))
            if all(part.state in {State.READY, State.DONE} for part in parts):
                return
            time.sleep(0.2)

    def _sweep(self) -> None:
        record = Record(self.state / SESSIONS)
        sweep(record.read().values())
        record.forget()

    def _ask(self, *request: str, timeout: float = 30) -> object:
        """Sends a command and returns the supervisor's answer; None if no supervisor is running."""
        path = self.state / SOCKET
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout)
            try:
                # A socket's path is limited to 108 bytes: take the shorter of the absolute and the relative path.
                connection.connect(min(str(path), os.path.relpath(path), key=len))
                connection.sendall(json.dumps(request).encode() + b"\n")
                with connection.makefile() as answer:
                    line = answer.readline()
            except (FileNotFoundError, ConnectionError):
                return None  # no supervisor is running, or it ended during the request
        if not line:
            return None
        reply = json.loads(line)
        if "error" in reply:
            raise StackError(
                f"the supervisor's command {request[0]} failed: {reply['error']}; see {self.logs}/supervisor.log"
            )
        return reply["answer"]
