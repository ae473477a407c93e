"""The state of a case's sensor in Airflow."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy import select

from fraudstream.orchestration.pages.case_tabs import TASK_ID
from fraudstream.orchestration.runs import DAG_ID


@dataclass(frozen=True, slots=True)
class Sensor:
    """A case's sensor: links to its task and its run in Airflow's UI, and a text about its state."""

    link: str
    run_link: str
    text: str
    #: The task has ended, but the case has no outcome: a user marked the task, which isn't a decision, or it failed.
    marked: bool


def sensor_state(session: Any, run_id: str | None, case: str, *, has_outcome: bool) -> Sensor | None:
    """The sensor that waits for a case in a run; None if the run doesn't exist any more or doesn't have the case."""
    run = session.scalar(select(DagRun).where(DagRun.dag_id == DAG_ID, DagRun.run_id == run_id)) if run_id else None
    if run is None:
        return None
    ids = [one.get("idTransaction") for one in (run.conf or {}).get("cases", [])]
    if case not in ids:
        return None
    number = ids.index(case)
    of_sensor = (TaskInstance.run_id == run_id, TaskInstance.task_id == TASK_ID, TaskInstance.map_index == number)
    state = session.scalar(select(TaskInstance.state).where(TaskInstance.dag_id == DAG_ID, *of_sensor))
    marked = state in {"success", "failed", "skipped"} and not has_outcome
    text = f"State of the sensor's task: {state or 'not started yet'}."
    if marked:
        text = (
            f"The sensor's task was marked {state} by a person or ended by an error. That is a mark of a task, not a"
            " decision: the case has no outcome yet, and still gets one."
        )
    run_link = f"../dags/{DAG_ID}/runs/{quote(str(run_id), safe='')}"
    return Sensor(f"{run_link}/tasks/{TASK_ID}/mapped/{number}", run_link, text, marked)
