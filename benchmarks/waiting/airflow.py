"""Opens DAG runs in the Airflow of the benchmarks' stack, and reads the state of sensors from its database."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

import psutil
import psycopg2
from fraudstream.orchestration.runs import DAG_ID

from benchmarks.harness.rounds import BenchmarkFailed
from local.demo.airflow_api import AirflowApi
from local.stack.environment import LOGS, STACK
from local.stack.ports import Ports
from local.supervisor.control import Control

SENSOR = "await_confirmation"
_POLL_SECONDS = 0.5
_SAMPLE_SECONDS = 20.0


class Airflow:
    """Counts with SQL in Airflow's database: the REST API would take as long as the measured work."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.api = AirflowApi(Ports.from_environment().url("airflow"))
        address = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
        self._database = psycopg2.connect(address)
        self._database.autocommit = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self.api.__exit__()

    def open(self, dag: str, run: str, conf: dict[str, Any]) -> None:
        """Triggers a DAG run with this id."""
        self.api.trigger(dag, conf, run)

    def close(self, dag: str) -> None:
        """Fails all unfinished runs of a DAG, and waits up to 120 s until no trigger of any DAG is left."""
        for run in [run for run in self.api.runs(dag) if run["state"] not in {"success", "failed"}]:
            self.api.end(dag, run["dag_run_id"])
        self.wait_for(lambda: self._number("select count(*) from trigger") == 0, 120)

    def waiting(self, dag: str = DAG_ID) -> int:
        """The number of deferred sensors whose trigger is assigned to a triggerer."""
        return self._number(
            "select count(*) from task_instance t join trigger g on g.id = t.trigger_id "
            "where t.dag_id = %s and t.state = 'deferred' and g.triggerer_id is not null",
            dag,
        )

    def awaiting_input(self, dag: str) -> int:
        """The number of tasks that wait for a person's input; they have no trigger."""
        query = "select count(*) from task_instance where dag_id = %s and state = 'awaiting_input'"
        return self._number(query, dag)

    def runs(self, dag: str = DAG_ID) -> int:
        """The number of runs of a DAG, in any state."""
        return self._number("select count(*) from dag_run where dag_id = %s", dag)

    def resolved(self, dag: str = DAG_ID, task: str = SENSOR) -> int:
        """The number of sensors that have succeeded."""
        query = "select count(*) from task_instance where dag_id = %s and task_id = %s and state = 'success'"
        return self._number(query, dag, task)

    def over(self, dag: str, task: str) -> int:
        """The number of task instances that have succeeded or failed."""
        query = (
            "select count(*) from task_instance where dag_id = %s and task_id = %s and state in ('success', 'failed')"
        )
        return self._number(query, dag, task)

    def ends(self, dag: str = DAG_ID, task: str = SENSOR) -> list[float]:
        """The end times of all sensors that have succeeded, seconds since 1970."""
        return [
            end.timestamp()
            for (end,) in self._rows(
                "select end_date from task_instance where dag_id = %s and task_id = %s and state = 'success'", dag, task
            )
        ]

    def running(self) -> int:
        """The number of running tasks."""
        return self._number("select count(*) from task_instance where state = 'running'")

    def tasks(self) -> dict[str, str]:
        """The task id of each task instance, by the instance's id."""
        return {str(number): task for number, task in self._rows("select id, task_id from task_instance")}

    def outcomes(self) -> dict[str, list[tuple[float, str, float]]]:
        """For each case, its succeeded sensors: end time, status and start time (seconds since 1970)."""
        found: dict[str, list[tuple[float, str, float]]] = {}
        for end, value, start in self._rows(
            "select t.end_date, x.value, t.start_date from task_instance t join xcom x on x.dag_run_id = "
            "(select r.id from dag_run r where r.dag_id = t.dag_id and r.run_id = t.run_id) "
            "and x.task_id = t.task_id and x.map_index = t.map_index and x.key = 'return_value' "
            "where t.dag_id = %s and t.task_id = %s and t.state = 'success'",
            DAG_ID,
            SENSOR,
        ):
            outcome = json.loads(value) if isinstance(value, str) else value
            found.setdefault(outcome["idTransaction"], []).append(
                (end.timestamp(), outcome["status"], start.timestamp())
            )
        return found

    def wait_for(self, what: Callable[[], bool], seconds: float) -> float:
        """Waits until `what` returns true, at most `seconds`; returns the seconds that it waited."""
        started = time.monotonic()
        while not what() and time.monotonic() - started < seconds:
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - started

    def _number(self, query: str, *values: object) -> int:
        return int(self._rows(query, *values)[0][0])

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._database.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())


def sample() -> dict[str, float]:
    """The usage of all triggerers together: CPU in percent of a core over 20 s, memory, threads and connections."""
    processes = _triggerers()
    before = _cpu(processes)
    time.sleep(_SAMPLE_SECONDS)
    return {
        "cpu_percent": round(100 * (_cpu(processes) - before) / _SAMPLE_SECONDS, 1),
        "pss_mib": round(sum(process.memory_full_info().pss for process in processes) / 2**20),
        "threads": sum(process.num_threads() for process in processes),
        "connections": sum(len(process.net_connections("tcp")) for process in processes),
    }


def _triggerers() -> list[psutil.Process]:
    parts = Control(STACK, LOGS).status()
    firsts = [psutil.Process(part.pid) for part in parts if part.name.startswith("airflow-triggerer") and part.pid]
    return [process for first in firsts for process in (first, *first.children(recursive=True))]


def _cpu(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


@contextmanager
def heartbeats(airflow: Airflow) -> Iterator[dict[str, float]]:
    """Yields the highest age in seconds that the heartbeats of scheduler and triggerer reach during the context.

    :raises BenchmarkFailed: one of them has no heartbeat
    """
    worst = {"scheduler": 0.0, "triggerer": 0.0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(2):
            health = airflow.api.get("/api/v2/monitor/health")
            for name, age in worst.items():
                beat = health[name][f"latest_{name}_heartbeat"]
                if beat is None:
                    raise BenchmarkFailed(f"the {name} has no heartbeat")
                now = (datetime.now(UTC) - datetime.fromisoformat(beat)).total_seconds()
                worst[name] = max(age, round(now, 1))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield worst
        finally:
            ended.set()
        watching.result()
