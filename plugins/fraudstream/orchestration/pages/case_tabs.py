"""Two tabs in Airflow's UI: the case that a sensor waits for, and all cases of a run.

Airflow itself shows neither: no worker renders a sensor that starts and ends in the triggerer, so that it has no
rendered fields and no name but its map index. The pages read the run's conf and the sensors' XComs, for users who may
read the DAG's task instances. They do not show the customer's links, because users of Airflow must not answer for a
customer.
"""

import json
from collections import Counter
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import HTMLResponse
from sqlalchemy import select

from fraudstream import money
from fraudstream.cases.claims import Case
from fraudstream.orchestration.pages.rendering import page
from fraudstream.orchestration.runs import DAG_ID

TASK_ID = "await_confirmation"
_SAYS = {
    "REPORTED_FRAUD": "Reported as fraud",
    "REPORTED_NOT_FRAUD": "Not fraud: the customer confirmed it",
    "NO_RESPONSE": "No response: the time was up",
}
_ELSEWHERE = f"Only runs of the DAG {DAG_ID} have cases, and only its task {TASK_ID} waits for one."

router = APIRouter(dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))])
_Text = Annotated[str, Query(max_length=500)]


@router.get("/case")
def case(session: SessionDep, dag_id: _Text, run_id: _Text, task_id: _Text, map_index: _Text) -> HTMLResponse:
    """The case of one sensor."""
    if (dag_id, task_id) != (DAG_ID, TASK_ID) or not map_index.isdecimal():
        return page("message.html", title="No case", message=_ELSEWHERE)
    cases = _cases(session, run_id)
    number = int(map_index)
    if number >= len(cases):
        raise HTTPException(404, f"run {run_id} has {len(cases)} cases, none has number {number}")
    shown = _shown(session, run_id, {number: cases[number]})[0]
    others = f"cases?{urlencode({'dag_id': dag_id, 'run_id': run_id})}"
    return page("case.html", title=f"{shown['type']} of {shown['amount']}", case=shown, others=others)


@router.get("/cases")
def cases(session: SessionDep, dag_id: _Text, run_id: _Text) -> HTMLResponse:
    """All cases of a run."""
    if dag_id != DAG_ID:
        return page("message.html", title="No cases", message=_ELSEWHERE)
    shown = _shown(session, run_id, dict(enumerate(_cases(session, run_id))))
    counts = Counter(one["now"] for one in shown)
    return page(
        "cases.html",
        title=f"{len(shown)} cases",
        counts="; ".join(f"{what}: {count}" for what, count in counts.most_common()),
        cases=shown,
    )


def _cases(session: Any, run_id: str) -> list[Case]:
    run = session.scalar(select(DagRun).where(DagRun.dag_id == DAG_ID, DagRun.run_id == run_id))
    if run is None:
        raise HTTPException(404, f"DAG {DAG_ID} has no run {run_id}")
    found: list[Case] = (run.conf or {}).get("cases", [])
    return found


def _shown(session: Any, run_id: str, cases: dict[int, Case]) -> list[dict[str, Any]]:
    """The values that a page shows of each case.

    :param cases: by map index
    """
    of_sensors = (TaskInstance.dag_id == DAG_ID, TaskInstance.run_id == run_id, TaskInstance.task_id == TASK_ID)
    states = dict(session.execute(select(TaskInstance.map_index, TaskInstance.state).where(*of_sensors)).all())
    of_xcoms = (XComModel.dag_id == DAG_ID, XComModel.run_id == run_id, XComModel.task_id == TASK_ID)
    values = select(XComModel.map_index, XComModel.value).where(*of_xcoms, XComModel.key == "return_value")
    outcomes = {number: _outcome(value) for number, value in session.execute(values).all()}
    return [
        {
            "number": number,
            "link": "case?"
            + urlencode({"dag_id": DAG_ID, "run_id": run_id, "task_id": TASK_ID, "map_index": str(number)}),
            "id": case["idTransaction"],
            "amount": money.shown(money.to_minor(case["amount"])),
            "type": case["type"].replace("_", " ").capitalize(),
            "origin": case["nameOrig"],
            "to": case["nameDest"],
            "made": _time(case["timestamp"]),
            "since": _time(case["openedAt"]),
            # The time limit begins when the notice is accepted. Airflow doesn't know that time.
            "until": f"{_time(case['expiresAt'])} or later",
            **_now(states.get(number), outcomes.get(number)),
        }
        for number, case in cases.items()
    ]


def _now(state: str | None, outcome: dict[str, Any] | None) -> dict[str, str]:
    if outcome is not None:
        return {
            "state": "ended",
            "now": _SAYS[outcome["status"]],
            "answered": _time(outcome["answeredAt"]),
            "place": f"partition {outcome['partition']}, offset {outcome['offset']} of topic fraud_confirmation",
        }
    now = "Waits for its customer" if state == "deferred" else f"The sensor is {state or 'not started yet'}"
    return {"state": "open", "now": now, "answered": "", "place": ""}


def _outcome(value: Any) -> dict[str, Any]:
    # The XCom of a trigger is stored as JSON text, that of a worker as JSON.
    outcome: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return outcome


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S} UTC"
