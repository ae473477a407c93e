"""The data that defines a part of the stack, its readiness check and its status."""

import asyncio
import http.client
import json
import signal
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from local.stack.ports import HOST


class Listening(BaseModel):
    """A part is ready when a process accepts connections on a loopback port."""

    kind: Literal["listening"] = "listening"
    port: int

    async def passes(self, since: float) -> bool:
        """`since`: seconds since 1970 when the part was started."""
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, self.port), timeout=2)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    @property
    def fault(self) -> str:
        """What is so when it doesn't pass."""
        return f"port {self.port} accepts no connection"


class Answers(BaseModel):
    """A part is ready when a URL answers with HTTP status 200."""

    kind: Literal["answers"] = "answers"
    url: str

    async def passes(self, since: float) -> bool:
        """`since`: seconds since 1970 when the part was started."""
        return (await asyncio.to_thread(_get, self.url)) is not None

    @property
    def fault(self) -> str:
        """What is so when it doesn't pass."""
        return f"{self.url} doesn't answer with 200"


class AirflowHeartbeat(BaseModel):
    """A part is ready when Airflow's health page shows a heartbeat of its component that is newer than its start."""

    kind: Literal["airflow_heartbeat"] = "airflow_heartbeat"
    url: str
    component: Literal["scheduler", "triggerer", "dag_processor"]

    async def passes(self, since: float) -> bool:
        """`since`: seconds since 1970 when the part was started."""
        page = await asyncio.to_thread(_get, self.url)
        health = json.loads(page)[self.component] if page else {}
        beat = health.get(f"latest_{self.component}_heartbeat")
        if beat is None or health["status"] != "healthy":
            return False
        return datetime.fromisoformat(beat).timestamp() > since

    @property
    def fault(self) -> str:
        """What is so when it doesn't pass."""
        return f"{self.url} shows no fresh heartbeat of a {self.component}"


class Logged(BaseModel):
    """A part is ready when its log has this text."""

    kind: Literal["logged"] = "logged"
    file: Path
    text: str

    async def passes(self, since: float) -> bool:
        """`since`: seconds since 1970 when the part was started; its log starts empty."""
        return self.text in self.file.read_text(errors="replace")

    @property
    def fault(self) -> str:
        """What is so when it doesn't pass."""
        return f"{self.file} doesn't say {self.text!r}"


class Exits(BaseModel):
    """A part that runs to its end: it is done when it has exited with 0.

    `marker` is an empty file that is created on success. While it exists, the part isn't run again.
    """

    kind: Literal["exits"] = "exits"
    marker: Path | None = None


class Part(BaseModel):
    """A process of the stack."""

    name: str
    command: list[str]
    #: the complete environment: the supervisor's own variables aren't passed on
    env: dict[str, str]
    cwd: Path
    ready: Annotated[Listening | Answers | AirflowHeartbeat | Logged | Exits, Field(discriminator="kind")]
    #: parts that must be ready before this one starts, and that stop after it
    depends_on: list[str] = []
    #: parts that need this one until they have stopped, though they can start without it
    stops_after: list[str] = []
    #: loopback ports on which it listens
    ports: list[int] = []
    #: the address that users open or connect to
    address: str = ""
    ready_within: float = Field(120, description="seconds")
    stop_signal: int = signal.SIGTERM
    #: True: the signal goes to all processes of the part. False: only to the first one, which stops the others
    stop_all: bool = False
    stop_within: float = Field(20, description="seconds from the signal to SIGKILL")


class State(StrEnum):
    """The state of a part in its lifecycle."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DIED = "died"


#: States in which no process of the part runs and the part can be started.
AT_REST = {State.STOPPED, State.FAILED, State.DIED}


class Status(BaseModel):
    """A part as the supervisor sees it."""

    name: str
    state: State = State.STOPPED
    pid: int | None = None
    #: seconds since 1970
    started: float | None = None
    #: seconds from its start until it was ready
    seconds: float | None = None
    #: the error message, with the end of its log
    problem: str = ""
    address: str = ""


def _get(url: str) -> bytes | None:
    """The body of the response if its status is 200; None for another status, on an error and on a timeout of 5 s."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or HOST, parts.port, timeout=5)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == http.HTTPStatus.OK else None
