"""Evaluates the logs of the tasks at the end: which tries were interrupted, and why."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from fraudstream import errors
from fraudstream.kafka.records import MAIL_RETRY

from local.stack.environment import AIRFLOW_HOME
from tests.chaos.airflow_round.tasks import WORKERS
from tests.chaos.fleet import Interruption

_RETRIES = {f"send_mail-{MAIL_RETRY}": ("retry_mails", "send_mail")}
#: A consumer logs this if it leaves a batch to the next try.
_GAVE_UP = "didn't finish its batch in time"
#: Every try that finishes its work logs one of these.
_CAME_TO_ITS_END = ("Pushing xcom", "::group::Post Execute")
#: A task logs this if somebody ended its run, which the round also does.
_ENDED_BY_SOMEBODY = "TI was not in the running state"
#: Airflow logs this about its own API server after a long stall of the machine; it then retries the task.
_API_SERVER_BUSY = "API_SERVER_ERROR: {'status_code': None, 'message': 'timed out'"
RETRYABLE = {
    error.__name__
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.FraudstreamError) and error.retryable
}


class Try(NamedTuple):
    """A try of a task."""

    worker: str
    #: Time of its last log line, in seconds since 1970.
    ended_at: float
    #: Type and message of the error that ended it.
    error: tuple[str, str] | None
    #: Whether it ended by itself and finished all its work.
    complete: bool


def tries() -> Iterator[Try]:
    """Yields every try of every worker."""
    for worker, (dag, task) in (WORKERS | _RETRIES).items():
        for log in (AIRFLOW_HOME / "logs" / f"dag_id={dag}").glob(f"run_id=*/task_id={task}/**/attempt=*.log"):
            entries = [entry for line in log.read_text(errors="replace").splitlines() if (entry := _entry(line))]
            if not entries:
                continue
            found = [error for entry in entries for error in entry.get("error_detail") or []]
            error = (found[0]["exc_type"], str(found[0]["exc_value"])) if found else None
            said = [str(entry.get("event", "")) for entry in entries]
            complete = any(e.startswith(_CAME_TO_ITS_END) for e in said) and not any(_GAVE_UP in e for e in said)
            ended_at = datetime.fromisoformat(entries[-1]["timestamp"]).timestamp()
            yield Try(worker, ended_at, error, complete and error is None)


def interruptions(since: float) -> list[Interruption]:
    """The tries that left unfinished work to the next try."""
    return [
        Interruption(one.ended_at, one.worker, one.error[0] if one.error else "ended in its work")
        for one in tries()
        if one.ended_at >= since and not one.complete
    ]


def ends(since: float) -> tuple[Counter[str], Counter[str]]:
    """The number of tries by the way in which they ended; and the errors that a retry would not resolve."""
    kinds: Counter[str] = Counter()
    findings: Counter[str] = Counter()
    for one in tries():
        if one.ended_at >= since:
            kinds[one.error[0] if one.error else "finished" if one.complete else "killed or ended in its work"] += 1
            if one.error and not _retried(*one.error):
                findings[f"{one.worker} ended with {one.error[0]}: {one.error[1]}"] += 1
    return kinds, findings


def _retried(kind: str, message: str) -> bool:
    return kind in RETRYABLE or _ENDED_BY_SOMEBODY in message or message.startswith(_API_SERVER_BUSY)


def _entry(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:  # a killed task didn't finish this line
        return None
    return entry if isinstance(entry, dict) and "timestamp" in entry else None
