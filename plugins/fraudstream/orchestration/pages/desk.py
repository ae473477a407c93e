"""The page "Cases": the queue of cases that wait for a customer or for the bank, a page for one case, and actions."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.common.db.common import SessionDep
from airflow.exceptions import AirflowNotFoundException
from fastapi import APIRouter, Form, HTTPException, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fraudstream import money
from fraudstream.cases.answers.publisher import shared_publisher
from fraudstream.cases.events import CaseEvents
from fraudstream.desk.actions import MOST_CASES, Desk, Done
from fraudstream.desk.case_index import KnownCase
from fraudstream.desk.case_page import CasePage, case_page
from fraudstream.desk.queue import OPEN_STATES, ORDERS, STATES, Filter
from fraudstream.desk.views import DeskViews, shared_views
from fraudstream.errors import DecisionRefused, FraudstreamError, KafkaUnavailable
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.orchestration.connections import lake_with_tables
from fraudstream.orchestration.pages.desk_access import Actor, MayAct, Viewer, check_form_token, form_token
from fraudstream.orchestration.pages.desk_shown import (
    outcome_choices,
    shown_case,
    shown_decision,
    shown_request,
    shown_step,
)
from fraudstream.orchestration.pages.rendering import page
from fraudstream.orchestration.pages.sensor_state import sensor_state
from fraudstream.settings import get_settings

router = APIRouter()
#: Seconds that a request waits for an index that was just started.
_WAIT_SECONDS = 10.0
_ROWS = 50
#: Limits of a filter's values: more than any case has, and within the range of dates and SQLite.
_MOST_HOURS, _MOST_MINOR = 1_000_000, 10**18
_Text = Annotated[str, Query(max_length=200)]
_Field = Annotated[str, Form(max_length=4_000)]


@router.get("/desk")
def queue(
    name: Viewer,
    may_act: MayAct,
    state: Annotated[list[str] | None, Query(max_length=200)] = None,
    least: _Text = "",
    most: _Text = "",
    older: _Text = "",
    within: _Text = "",
    customer: _Text = "",
    assignee: _Text = "",
    confirm: _Text = "",
    sort: _Text = "deadline",
    number: Annotated[int, Query(ge=1, le=100_000)] = 1,
) -> HTMLResponse:
    """A page of the queue."""
    wanted = Filter(
        states=tuple(one for one in STATES if one in (state or OPEN_STATES)) or OPEN_STATES,
        least=_amount(least),
        most=_amount(most),
        older=_hours(older),
        within=_hours(within),
        customer=customer.strip(),
        assignee=assignee.strip(),
        to_confirm=bool(confirm),
        sort=sort if sort in ORDERS else "deadline",
        first=(number - 1) * _ROWS,
        rows=_ROWS,
    )
    try:
        found = _views().index.queue(wanted, datetime.now(UTC))
    except FraudstreamError as error:
        return _unavailable(error)
    asked = {
        "least": least,
        "most": most,
        "older": older,
        "within": within,
        "customer": customer,
        "assignee": assignee,
        "confirm": confirm,
    }
    kept: list[tuple[str, str]] = [(key, value) for key, value in asked.items() if value]
    of_state = {one: f"desk?{urlencode([*kept, ('sort', wanted.sort), ('state', one)])}" for one in STATES}
    kept += [("state", one) for one in wanted.states]
    pages = max(1, -(-found.total // _ROWS))
    return page(
        "desk.html",
        title="Cases",
        nav="cases",
        cases=[shown_case(one) for one in found.cases],
        total=found.total,
        amount=money.shown(found.amount),
        counts=found.counts,
        of_state=of_state,
        asked=asked,
        states=wanted.states,
        sort=wanted.sort,
        sorts={order: f"desk?{urlencode([*kept, ('sort', order)])}" for order in ORDERS},
        number=number,
        pages=pages,
        before=_page_link(kept, wanted.sort, number - 1) if number > 1 else "",
        after=_page_link(kept, wanted.sort, number + 1) if number < pages else "",
        token=form_token(name) if may_act else "",
        outcomes=outcome_choices(),
        most_cases=MOST_CASES,
    )


@router.get("/desk-case")
def case(name: Viewer, may_act: MayAct, session: SessionDep, id: _Text) -> HTMLResponse:
    """The page of one case."""
    try:
        views = _views()
        known = views.index.case(id)
    except FraudstreamError as error:
        return _unavailable(error)
    if known is None:
        raise HTTPException(
            404, "no case of the last weeks has this id; `python -m fraudstream trace ID` searches further back"
        )
    found, problem = _from_lake(known)
    sensor = sensor_state(session, found.run_id, id, has_outcome=known.history.outcome is not None) if found else None
    queued = known.queued
    return page(
        "desk_case.html",
        title=f"{known.queued.type.replace('_', ' ').capitalize()} of {money.shown(queued.amount)}",
        nav="cases",
        case=shown_case(queued) | {"to": known.history.transaction["nameDest"]},
        line=found.line if found else None,
        steps=[shown_step(one) for one in found.line.in_order()] if found else [],
        payments=found.payments if found else [],
        sensor=sensor,
        problem=problem,
        decision=shown_decision(known),
        token=form_token(name) if may_act else "",
        second=_desk().needs_second_person(known),
        request=shown_request(known, name),
        outcomes=outcome_choices(),
    )


@router.post("/desk-act")
def act(
    name: Actor,
    token: _Field,
    action: _Field,
    case: Annotated[list[str], Form(max_length=10_000)],
    reason: _Field = "",
    outcome: _Field = "",
    assignee: _Field = "",
    request: _Field = "",
) -> Response:
    """Performs an action on one or several cases."""
    check_form_token(token, name)
    try:
        _views()
        done = _act(_desk(), action, case, name, reason=reason, outcome=outcome, assignee=assignee, request=request)
    except DecisionRefused as error:
        return page("message.html", title="Nothing was done", nav="cases", status=422, message=str(error))
    except FraudstreamError as error:
        return _unavailable(error)
    if not done.refused and len(done.done) == 1:
        return RedirectResponse(f"desk-case?{urlencode({'id': case[0]})}", 303)
    title = f"{len(done.done)} done, {len(done.refused)} refused"
    return page("desk_done.html", title=title, nav="cases", status=409 if done.refused else 200, done=done)


def _act(
    desk: Desk, action: str, cases: Sequence[str], by: str, *, reason: str, outcome: str, assignee: str, request: str
) -> Done:
    if action == "decide":
        return desk.decide(cases, outcome, by=by, reason=reason)
    if action == "confirm" and len(cases) == 1:
        return desk.confirm(cases[0], request, by=by)
    if action == "note":
        return desk.note(cases, by=by, reason=reason)
    if action == "assign":
        return desk.assign(cases, assignee, by=by, reason=reason)
    if action == "send":
        return desk.send_again(cases, by=by, reason=reason)
    raise DecisionRefused(f"action is {action[:50]!r}: expected decide, confirm (of one case), note, assign or send")


def _views() -> DeskViews:
    """The views of the cases.

    :raises KafkaError: the index isn't complete yet, or its topics can't be read
    """
    views = shared_views(get_settings())
    if not views.wait(_WAIT_SECONDS):
        raise KafkaUnavailable(f"the topics of cases are still being read, {len(views.index):,} cases so far; reload")
    return views


@cache
def _events() -> CaseEvents:
    return CaseEvents(get_settings())


@cache
def _topics() -> Topics:
    return Topics(get_settings())


class _Events:
    """A producer of case events that connects at the first write."""

    def publish(self, events: Any) -> None:
        _events().publish(events)


class _Answers:
    """A producer of answers that connects at the first write."""

    async def publish(self, *arguments: Any) -> Any:
        return await shared_publisher(get_settings()).publish(*arguments)


def _desk() -> Desk:
    settings = get_settings()
    return Desk(settings, shared_views(settings), _Answers(), _Events())


def _from_lake(known: KnownCase) -> tuple[CasePage | None, str]:
    try:
        partitions = len(_topics().partitions(NON_FRAUD_TRANSACTION))
        return case_page(lake_with_tables(get_settings()), known, partitions), ""
    except (FraudstreamError, AirflowNotFoundException) as error:  # AirflowNotFoundException: no such connection
        return None, str(error)


def _unavailable(error: FraudstreamError) -> HTMLResponse:
    return page("message.html", title="Cases can't be shown now", nav="cases", status=503, message=str(error))


def _page_link(kept: list[tuple[str, str]], sort: str, number: int) -> str:
    return f"desk?{urlencode([*kept, ('sort', sort), ('number', str(number))])}"


def _amount(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        found = money.to_minor(text.strip())
    except ValueError as error:
        raise HTTPException(422, f"amount: {error}") from None
    if abs(found) > _MOST_MINOR:
        raise HTTPException(422, f"amount: {text[:50]!r} is more than the amount of any case")
    return found


def _hours(text: str) -> timedelta | None:
    if not text.strip():
        return None
    try:
        hours = float(text)
    except ValueError:
        hours = float("nan")
    if not abs(hours) <= _MOST_HOURS:
        raise HTTPException(422, f"{text[:50]!r} is not a number of hours up to {_MOST_HOURS:,}")
    return timedelta(hours=hours)
