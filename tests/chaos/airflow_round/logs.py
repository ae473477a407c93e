"""What the tasks' logs say in the end: which tries were interrupted, and by what."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from fraudstream import errors
from fraudstream.kafka.records import MAIL_RETRY

from local.environment import AIRFLOW_HOME
from tests.chaos.airflow_round.tasks import WORKERS
from tests.chaos.fleet import Interruption

_RETRIES = {f"send_mail-{MAIL_RETRY}": ("retry_mails", "send_mail")}
#: What a consumer says that had to leave a batch to the next one.
_GAVE_UP = "didn't finish its batch in time"
#: What every try says that came to the end of its work.
_CAME_TO_ITS_END = ("Pushing xcom", "::group::Post Execute")
#: What a task hears that is done with a run that somebody ended: the round does that, too.
_ENDED_BY_SOMEBODY = "TI was not in the running state"
#: What Airflow says of its own API server where the machine stood still for long; it tries the task again.
_API_SERVER_BUSY = "API_SERVER_ERROR: {'status_code': None, 'message': 'timed out'"
RETRYABLE = {
    error.__name__
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.FraudstreamError) and error.retryable
}


class Try(NamedTuple):
    """A try of a task."""

    worker: str
    #: When it logged its last line, in seconds since 1970.
    ended_at: float
    #: Type and message of what ended it.
    error: tuple[str, str] | None
    #: Whether it ended by itself, with all that it had in hand done.
    complete: bool


def tries() -> Iterator[Try]:
    """Every try of every worker."""
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
    """The tries that left something in hand to the next one."""
    return [
        Interruption(one.ended_at, one.worker, one.error[0] if one.error else "ended in its work")
        for one in tries()
        if one.ended_at >= since and not one.complete
    ]


def ends(since: float) -> tuple[Counter[str], Counter[str]]:
    """How tries ended, by kind; and the errors that no new try would help."""
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
    except ValueError:  # a line that a killed task didn't finish
        return None
    return entry if isinstance(entry, dict) and "timestamp" in entry else None
