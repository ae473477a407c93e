"""The pipeline's tasks in Airflow: finds them by Airflow's API, and sends them signals."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import psutil
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import ROOT

from local.demo.airflow_api import AirflowApi
from local.stack.environment import AIRFLOW_HOME
from local.supervisor.control import StackError
from tests.chaos.fleet import Interruption

T = TypeVar("T")

PRODUCER = "produce"
PRODUCER_DAG = "produce_transactions"
CASES_DAG, SENSOR = "fraud_confirmation", "await_confirmation"
DAG_OF = {
    NON_FRAUD_TRANSACTION: "consume_non_fraud_transactions",
    FRAUD_TRANSACTION: "consume_fraud_transactions",
    FRAUD_CONFIRMATION: "consume_fraud_confirmations",
    CASE_EVENT: "consume_case_events",
}
ROLES = {
    NON_FRAUD_TRANSACTION: ("write_lake", "send_mail"),
    FRAUD_TRANSACTION: ("write_lake", "send_mail", "open_cases"),
    FRAUD_CONFIRMATION: ("write_lake", "send_mail"),
    CASE_EVENT: ("write_lake",),
}
#: DAG and task of each worker. A consumer has the name of its group.
WORKERS = {PRODUCER: (PRODUCER_DAG, "produce")} | {
    f"{role}-{topic}": (DAG_OF[topic], role) for topic, roles in ROLES.items() for role in roles
}
CONSUMERS = [name for name in WORKERS if name != PRODUCER]
#: The groups of this topic have two members, so that one takes over when the other is frozen.
_TWO_MEMBERS = NON_FRAUD_TRANSACTION


class Attempt(NamedTuple):
    """A running try of a task."""

    dag: str
    task: str
    run: str
    map_index: int
    number: int
    pid: int

    @property
    def log(self) -> Path:
        """Path of its log, which exists from the first line on."""
        index = f"map_index={self.map_index}" if self.map_index >= 0 else ""
        folder = AIRFLOW_HOME / "logs" / f"dag_id={self.dag}" / f"run_id={self.run}" / f"task_id={self.task}" / index
        return folder / f"attempt={self.number}.log"

    def said(self) -> str:
        """The text that it has logged so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Tasks:
    """Starts the DAGs' runs and sends all signals to their tasks.

    :param ended: returns a message about parts of the stack that ended by themselves
    """

    def __init__(self, airflow: AirflowApi, seed: int, ended: Callable[[], list[str]]) -> None:
        self.airflow = airflow
        self._ended = ended
        self._random = random.Random(seed)  # noqa: S311  no secret
        self.interruptions: list[Interruption] = []

    def ask(self, question: Callable[[], T], seconds: float = 120) -> T:
        """Returns the result of a call of Airflow's API; retries while faults make it fail.

        :raises StackError: it still fails after `seconds`, and a part of the stack has ended
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                return question()
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if ended := self._ended():
                    raise StackError("\n\n".join(ended)) from error
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def queue_runs(self, runs: int) -> None:
        """Queues runs of a minute of the consumers' DAGs, one of which is active at a time.

        While there are queued runs, the schedule adds none. The run of an hour that it started at first is ended here.
        """
        self.pause(False)
        for topic, dag in DAG_OF.items():
            conf = {"until": "forever", "max_minutes": 1, "workers": 2 if topic == _TWO_MEMBERS else 1}
            for _ in range(runs):
                self.ask(
                    lambda dag=dag, conf=conf: self.airflow.post(  # type: ignore[misc]
                        f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf}
                    )
                )
        self.end_scheduled()

    def end_scheduled(self) -> None:
        """Ends scheduled runs of the consumers' DAGs: they take an hour, and queued runs of a minute wait for them."""
        for dag in DAG_OF.values():
            for run in self.runs(dag, "queued", "running"):
                if run.startswith("scheduled__"):
                    self.ask(lambda dag=dag, run=run: self.airflow.end(dag, run))  # type: ignore[misc]

    def pause(self, paused: bool, *topics: str) -> None:
        """Pauses or unpauses the consumers; when pausing, marks their runs as failed, as a user does in the UI."""
        for topic in topics or DAG_OF:
            dag = DAG_OF[topic]
            self.ask(lambda dag=dag: self.airflow.pause(dag, paused))  # type: ignore[misc]
            if paused:
                for run in self.runs(dag, "running"):
                    self.ask(lambda dag=dag, run=run: self.airflow.end(dag, run))  # type: ignore[misc]

    def runs(self, dag: str, *states: str) -> list[str]:
        """Ids of a DAG's runs in these states."""
        path = f"/api/v2/dags/{dag}/dagRuns"
        found = self.ask(lambda: self.airflow.get(path, state=list(states), limit=100))
        return [str(run["dag_run_id"]) for run in found["dag_runs"]]

    def running(self, name: str) -> list[Attempt]:
        """The running tries of a worker."""
        dag, task = WORKERS[name]
        path = f"/api/v2/dags/{dag}/dagRuns/~/taskInstances"
        found = self.ask(lambda: self.airflow.get(path, task_id=task, state="running", limit=100))["task_instances"]
        return [
            Attempt(dag, task, one["dag_run_id"], one["map_index"], one["try_number"], one["pid"])
            for one in found
            if one["task_id"] == task and one["pid"] and _is_of_this_stack(one["pid"])
        ]

    def kill(self, name: str, seconds: float = 300) -> None:
        """Sends SIGKILL to a worker's task, as soon as one runs; Airflow retries it."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            attempts = self.running(name)
            if attempts and self.signal(name, self._random.choice(attempts), signal.SIGKILL):
                return
            time.sleep(0.5)
        raise TimeoutError(f"no task of {name} runs within {seconds:.0f} s, kill -9 has no victim")

    def signal(self, name: str, attempt: Attempt, number: signal.Signals) -> bool:
        """Sends a signal to a try; False if it has ended."""
        if not _is_of_this_stack(attempt.pid):
            return False
        what = "kill -9" if number is signal.SIGKILL else number.name
        self.interruptions.append(Interruption(time.time(), name, what))
        try:
            os.kill(attempt.pid, number)
        except ProcessLookupError:
            return False
        return True

    def end_producer(self, run: str) -> None:
        """Ends a run of the producer and waits for the end of its task: otherwise the next producer would fence it."""
        attempts = self.running(PRODUCER)
        self.ask(lambda: self.airflow.end(PRODUCER_DAG, run))
        deadline = time.monotonic() + 60
        while any(_is_of_this_stack(one.pid) for one in attempts) and time.monotonic() < deadline:
            time.sleep(0.2)

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Triggers a run; returns its id."""
        return self.ask(lambda: self.airflow.trigger(dag, conf))

    def state(self, dag: str, run: str) -> str:
        """A run's state."""
        return self.ask(lambda: self.airflow.state(dag, run))

    def wait(self, dag: str, run: str, seconds: float) -> str:
        """Waits until a run has ended; returns its state, also after `seconds`."""
        deadline = time.monotonic() + seconds
        while (state := self.state(dag, run)) not in {"success", "failed"} and time.monotonic() < deadline:
            time.sleep(1)
        return state


def _is_of_this_stack(pid: int) -> bool:
    """Whether a process is a task of this checkout: meanwhile another process may have the same id."""
    try:
        process = psutil.Process(pid)
        return process.cmdline()[0].startswith("airflow worker") and process.cwd() == str(ROOT)
    except (psutil.Error, IndexError):
        return False
