"""Mails the operators once when a member of a consumer group has been failing for 15 minutes, or fails permanently.

An Airflow variable keeps the time since which a member fails, because tries and runs end and begin meanwhile. When the
member has worked for a minute, or has read its topic to the end, the variable is deleted.
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
#: A member fails if a record waits for this time. It works again after a try for this time without such a record.
_WELL_SECONDS = 60.0


class Failing:
    """The failure of one member: since when it fails, and whether operators were mailed."""

    def __init__(self, context: Context) -> None:
        ti = context["ti"]
        self._context = context
        self._name = f"{ti.dag_id}.{ti.task_id}" + (f"[{ti.map_index}]" if ti.map_index >= 0 else "")
        self._variable = f"failing.{self._name}"
        self._log_url = ti.log_url
        #: Whether operators were mailed, even if Airflow couldn't store that.
        self._told = False

    def note(self, reason: str, *, since: datetime | None = None, for_good: bool = False) -> None:
        """Notes a failure. Mails the operators once, if it has lasted long enough or is permanent (`for_good`).

        :param since: the start of the failure, if an earlier one isn't stored; None: now
        """
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
                        f"{self._name} has been failing since {started:%Y-%m-%d %H:%M} UTC. No record is lost: a later "
                        "try continues after the last durable record. No other mail follows until it has worked again.",
                        reason,
                        f"Log: {self._log_url}",
                    ]
                ),
            )(dict(self._context))
            state["told"] = self._told = True
        if state != kept:
            description = "Set and deleted by the consumer's task: since when it fails, and whether a mail was sent"
            Variable.set(self._variable, state, description=description, serialize_json=True)

    def forget(self) -> None:
        """Notes that the member works: deletes the stored failure."""
        self._told = False
        if Variable.get(self._variable, default=None) is not None:
            Variable.delete(self._variable)


def consumer_failed(context: Context) -> None:
    """The callback of a consumer's task for a failed try."""
    error = context.get("exception")
    for_good = isinstance(error, FraudstreamError) and not error.retryable
    Failing(context).note(f"{type(error).__name__}: {error}", for_good=for_good)


class Waiting(Protocol):
    """A part of a consumer in which records may wait."""

    @property
    def waiting_since(self) -> float | None:
        """The time.monotonic() since which records wait; None if none wait."""


class Watch(threading.Thread):
    """Checks every 30 seconds whether a try makes progress. A try that waits, as for a mail server, raises no error."""

    def __init__(self, context: Context, *parts: Waiting) -> None:
        super().__init__(name="watch", daemon=True)
        self._failing = Failing(context)
        self._parts = parts
        self._began = time.monotonic()
        self._well = False
        self.over = threading.Event()

    def run(self) -> None:
        """Checks until the task sets ``over``. Continues after a failed check, as when Airflow doesn't answer."""
        while not self.over.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:
                log.exception("couldn't check whether this consumer makes progress; retry in %.0f s", _LOOK_SECONDS)

    def caught_up(self) -> None:
        """Notes that the member has read its topic to the end, so that it works. Does not raise errors of Airflow."""
        try:
            self._failing.forget()
        except Exception:
            log.exception("couldn't delete the stored failure of this consumer; its next run tries again")

    def look(self) -> None:
        """Checks once."""
        waiting_since = min((t for part in self._parts if (t := part.waiting_since) is not None), default=None)
        now = time.monotonic()
        if waiting_since is not None and now - waiting_since >= _WELL_SECONDS:
            self._well = False
            since = datetime.now(UTC) - timedelta(seconds=now - waiting_since)
            self._failing.note("Records wait, and none was processed since then; the log has the reason.", since=since)
        elif not self._well and now - self._began >= _WELL_SECONDS:
            self._failing.forget()
            self._well = True
