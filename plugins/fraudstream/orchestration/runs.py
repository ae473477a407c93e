"""Triggers DAG runs from a running task with the task's own token, so that a consumer needs no Airflow password."""

import logging
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun

from fraudstream.cases.opening import run_note
from fraudstream.errors import RunNotOpened

log = logging.getLogger(__name__)

DAG_ID = "fraud_confirmation"


def open_run(run_id: str, conf: dict[str, Any]) -> None:
    """Triggers a run of the DAG fraud_confirmation. If a run with this id exists already, does nothing.

    :raises RunNotOpened: Airflow refuses
    """
    asked = TriggerDagRun(dag_id=DAG_ID, run_id=run_id, conf=conf, note=run_note(conf["cases"]))
    try:
        answer = task_runner.SUPERVISOR_COMMS.send(asked)
    except AirflowRuntimeError as error:
        answer = error.error
    if isinstance(answer, ErrorResponse):
        if answer.error != ErrorType.DAGRUN_ALREADY_EXISTS:
            raise RunNotOpened(
                f"run {run_id} of DAG {DAG_ID} can't be opened: {answer.error.value} {answer.detail}. Is the DAG "
                f"unpaused and free of import errors?"
            )
        log.info("run %s of DAG %s is there already", run_id, DAG_ID)
