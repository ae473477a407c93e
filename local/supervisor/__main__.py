"""The supervisor: the process that starts all parts of the stack.

``python -m local.supervisor STATE_FOLDER LOG_FOLDER`` starts the parts in parts.json of the state folder and accepts
commands on a socket there; :mod:`local.supervisor.control` is the client. The supervisor's parent, the guardian, ends
every part if the supervisor is killed. If both are killed, the next ``up`` or ``down`` ends the parts: it finds them in
the record of sessions.
"""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from local.supervisor.sessions import Record, sweep
from local.supervisor.supervisor import SESSIONS, SOCKET, Supervisor

logger = logging.getLogger("local.supervisor")


def main(state: Path, logs: Path) -> int:
    """Starts guardian and supervisor in the background and returns when the supervisor accepts commands.

    Returns 0, or 1 if the supervisor ended before. The call also returns in both background processes, at their end.
    """
    answers, serving = os.pipe()
    if os.fork():
        os.close(serving)
        return 0 if os.read(answers, 1) else 1
    os.close(answers)
    supervisor = os.fork()
    if supervisor == 0:
        logging.basicConfig(
            filename=logs / "supervisor.log", level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
        )
        asyncio.run(_serve(state, logs, serving))
        return 0
    os.close(serving)
    return _guard(supervisor, state)


def _guard(supervisor: int, state: Path) -> int:
    """Waits for the end of the supervisor, ends the processes that it left, and returns the supervisor's exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(supervisor, number))
    _, wait_status = os.waitpid(supervisor, 0)
    record = Record(state / SESSIONS)
    sweep(record.read().values())
    record.forget()
    (state / SOCKET).unlink(missing_ok=True)
    return os.waitstatus_to_exitcode(wait_status)


async def _serve(state: Path, logs: Path, serving: int) -> None:
    supervisor = Supervisor(state, logs)
    commands: dict[str, Callable[..., Awaitable[object]]] = {
        "up": supervisor.up,
        "start": supervisor.start,
        "stop": supervisor.stop,
        "kill": supervisor.kill,
        "down": supervisor.down,
        "status": supervisor.status,
        "faults": supervisor.faults,
    }

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command, *arguments = json.loads(await reader.readline())
        try:
            reply = {"answer": await commands[command](*arguments)}
        except Exception as error:
            logger.exception("command %s", command)
            reply = {"error": repr(error)}
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    stopping: set[asyncio.Task[None]] = set()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: stopping.add(loop.create_task(supervisor.down())))
    (state / SOCKET).unlink(missing_ok=True)
    os.chdir(state)  # a socket's path is limited to 108 bytes, so it is opened by its relative path
    server = await asyncio.start_unix_server(answer, SOCKET)
    await supervisor.up()
    os.write(serving, b"1")
    os.close(serving)
    rotating = asyncio.create_task(supervisor.rotate_logs())
    async with server:
        await supervisor.finished.wait()
    rotating.cancel()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
