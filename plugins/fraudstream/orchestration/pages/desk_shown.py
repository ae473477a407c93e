"""Converts cases to the texts that the page Cases shows."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fraudstream import money
from fraudstream.cases.answers.decisions import OUTCOMES
from fraudstream.desk.case_index import KnownCase
from fraudstream.desk.queue import STATES, QueuedCase
from fraudstream.desk.timeline import Step
from fraudstream.desk.trace import OUTCOMES as SAYS


def outcome_choices() -> dict[str, str]:
    """The texts of the decisions that a person may make, by outcome."""
    return {outcome: SAYS[outcome] for outcome in OUTCOMES}


def shown_case(one: QueuedCase) -> dict[str, Any]:
    """The texts of a line of the queue."""
    now = datetime.now(UTC)
    left = one.deadline - now
    return {
        "id": one.id,
        "link": f"desk-case?{urlencode({'id': one.id})}",
        "amount": money.shown(one.amount),
        "type": one.type.replace("_", " ").capitalize(),
        "customer": one.customer,
        "of_customer": f"desk?{urlencode([('customer', one.customer), *(('state', state) for state in STATES)])}",
        "came": _time(one.came_at),
        "age": _long(now - one.came_at),
        "deadline": _time(one.deadline),
        "left": ("in " + _long(left) if left > timedelta(0) else "overdue since " + _long(-left))
        if one.is_open
        else "",
        "late": one.is_open and left < timedelta(0),
        "state": one.state,
        "outcome": SAYS[one.outcome] if one.outcome else "",
        "assignee": one.assignee,
        "request": one.request,
        "is_open": one.is_open,
    }


def shown_decision(known: KnownCase) -> dict[str, str] | None:
    """The texts of a case's outcome; None if it has none."""
    answer = known.history.outcome
    if answer is None:
        return None
    return {
        "outcome": SAYS[answer.status],
        "by": answer.record.get("decidedBy") or "",
        "reason": answer.record.get("reason") or "",
        "at": _time(answer.answered_at),
    }


def shown_request(known: KnownCase, name: str) -> dict[str, str] | None:
    """The decision that another person has to confirm, or None. `own` isn't empty if this user made it."""
    made = [event for event in known.history.events if event.details.get("request") == known.queued.request]
    if not known.queued.request or not made:
        return None
    event = made[0]
    return {
        "id": known.queued.request,
        "outcome": SAYS.get(str(event.details.get("outcome")), ""),
        "by": event.by,
        "reason": event.reason,
        "own": "yes" if event.by == name else "",
    }


def shown_step(step: Step) -> dict[str, str]:
    """The texts of a step of a time line."""
    return {
        "at": _time(step.at) if step.at else "",
        "what": step.what,
        "text": step.text,
        "place": step.place,
    }


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _long(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
