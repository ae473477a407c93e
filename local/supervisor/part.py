"""What a part of the stack is: data that the supervisor can run without knowing what it is for."""

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

from local.ports import HOST


class Listening(BaseModel):
    """Ready when something accepts connections on a loopback port."""

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
    """Ready when a URL answers 200."""

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
    """Ready when Airflow's health page shows a heartbeat of this component from after its start."""

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
    """Ready when its log has this text."""

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
    """A part that runs once: ready when it exited with 0.

    With `marker`, an empty file made on success, it runs once for as long as that file is there.
    """

    kind: Literal["exits"] = "exits"
    marker: Path | None = None


class Part(BaseModel):
    """A process of the stack."""

    name: str
    command: list[str]
    #: the complete environment: nothing of the supervisor's own leaks in
    env: dict[str, str]
    cwd: Path
    ready: Annotated[Listening | Answers | AirflowHeartbeat | Logged | Exits, Field(discriminator="kind")]
    #: parts that must be ready before this one starts, and that stop after it
    depends_on: list[str] = []
    #: parts that need this one until they have stopped, though they can start without it
    stops_after: list[str] = []
    #: loopback ports it will listen on
    ports: list[int] = []
    #: what a person opens or connects to
    address: str = ""
    ready_within: float = Field(120, description="seconds")
    stop_signal: int = signal.SIGTERM
    #: whether the signal goes to all of its processes, or to the first one, which then stops the others
    stop_all: bool = False
    stop_within: float = Field(20, description="seconds from the signal to SIGKILL")


class State(StrEnum):
    """Where a part is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    DONE = "done"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    DIED = "died"


#: States in which nothing of the part runs and `start` may start it.
AT_REST = {State.STOPPED, State.FAILED, State.DIED}


class Status(BaseModel):
    """A part as the supervisor sees it."""

    name: str
    state: State = State.STOPPED
    pid: int | None = None
    #: seconds since 1970
    started: float | None = None
    #: how long it took to be ready
    seconds: float | None = None
    #: what went wrong, with the end of its log
    problem: str = ""
    address: str = ""


def _get(url: str) -> bytes | None:
    """The body of a 200 answer within 5 s; None for anything else."""
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
