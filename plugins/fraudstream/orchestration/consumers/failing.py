"""Tells people once that a member of a consumer group has been failing for 15 minutes, or fails permanently.

Since when it fails is kept in an Airflow variable, because tries and runs come and go meanwhile. A member that has
worked for a minute is well again, and the variable goes.
"""

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from airflow.sdk import Variable
from airflow.sdk.definitions.context import Context

from fraudstream.errors import FraudstreamError
from fraudstream.orchestration.alerts import Alert, paragraphs

log = logging.getLogger(__name__)

_TELL_AFTER = timedelta(minutes=15)
_LOOK_SECONDS = 30.0
#: A record that waits so long is held up; a try that held nothing up for so long works.
_WELL_SECONDS = 60.0


class Failing:
    """What is remembered of one member: since when it fails, and whether people know."""

    def __init__(self, context: Context) -> None:
        ti = context["ti"]
        self._context = context
        self._name = f"{ti.dag_id}.{ti.task_id}" + (f"[{ti.map_index}]" if ti.map_index >= 0 else "")
        self._variable = f"failing.{self._name}"
        self._log_url = ti.log_url
        #: People were told, though Airflow may not have taken it down.
        self._told = False

    def note(self, reason: str, *, since: datetime | None = None, for_good: bool = False) -> None:
        """Reports a failure. People are told once, when it has lasted long enough or is permanent (`for_good`)."""
        now = datetime.now(UTC)
        kept = Variable.get(self._variable, default=None, deserialize_json=True)
        state = {"since": (since or now).isoformat(), "told": False} | (kept or {})
        started = datetime.fromisoformat(state["since"])
        state["told"] = state["told"] or self._told
        if not state["told"] and (for_good or now - started >= _TELL_AFTER):
            Alert(
                subject=f"{self._name} {'failed' if for_good else 'has been failing for 15 minutes'}",
                text=paragraphs(
                    [
                        f"{self._name} fails since {started:%Y-%m-%d %H:%M} UTC. No record is lost: a later try goes "
                        "on where the last effect was durable. No other mail follows until it has worked again.",
                        reason,
                        f"Log: {self._log_url}",
                    ]
                ),
            )(dict(self._context))
            state["told"] = self._told = True
        if state != kept:
            description = "Made and removed by the consumer's task: since when it fails, and whether people were told"
            Variable.set(self._variable, state, description=description, serialize_json=True)

    def forget(self) -> None:
        """It works."""
        self._told = False
        if Variable.get(self._variable, default=None) is not None:
            Variable.delete(self._variable)


def consumer_failed(context: Context) -> None:
    """Callback of a consumer's task for a try that failed."""
    error = context.get("exception")
    for_good = isinstance(error, FraudstreamError) and not error.retryable
    Failing(context).note(f"{type(error).__name__}: {error}", for_good=for_good)


class Waiting(Protocol):
    """A part of a consumer in which records may wait."""

    @property
    def waiting_since(self) -> float | None:
        """Since when they do, on time.monotonic's clock; None: none do."""


class Watch(threading.Thread):
    """Looks every half minute whether a try gets on: a wait for a mail server, say, is not an error to it."""

    def __init__(self, context: Context, *parts: Waiting) -> None:
        super().__init__(name="watch", daemon=True)
        self._failing = Failing(context)
        self._parts = parts
        self._began = time.monotonic()
        self._well = False
        self.over = threading.Event()

    def run(self) -> None:
        """Until the task ends it. A look that fails, since Airflow or the alerts' server is away, is not the last."""
        while not self.over.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("whether this consumer gets on can't be told now; looking again in %.0f s", _LOOK_SECONDS)

    def look(self) -> None:
        """Once."""
        waiting_since = min((t for part in self._parts if (t := part.waiting_since) is not None), default=None)
        now = time.monotonic()
        if waiting_since is not None and now - waiting_since >= _WELL_SECONDS:
            self._well = False
            since = datetime.now(UTC) - timedelta(seconds=now - waiting_since)
            self._failing.note("Records wait, and none has had its effect since then; the log says why.", since=since)
        elif not self._well and now - self._began >= _WELL_SECONDS:
            self._failing.forget()
            self._well = True
