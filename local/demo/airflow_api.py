"""A client of Airflow's public REST API, with the calls that the demo needs."""

import json
import time
from collections.abc import Iterator
from typing import Any, Self

import httpx
from fraudstream.errors import FraudstreamError

from local.stack.environment import airflow_login

_PAGE = 100
_OVER = {"success", "failed"}
#: How often a PATCH request is sent at most, and the seconds between two.
_PATCHES, _PATCH_SECONDS = 5, 1.0


class RunFailed(FraudstreamError):
    """A DAG run failed or timed out."""


class AirflowApi:
    """Airflow's REST API v2, logged in as the local stack's user."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        user, password = airflow_login()
        answer = self._client.post("/auth/token", json={"username": user, "password": password})
        answer.raise_for_status()
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def wait_for_dags(self, dags: set[str], seconds: float = 120) -> None:
        """Waits until the DAG processor has parsed all of these DAGs.

        :raises RunFailed: some are missing after `seconds`; the message has the import errors
        """
        until = time.monotonic() + seconds
        while missing := dags - {dag["dag_id"] for dag in self._pages("/api/v2/dags", "dags")}:
            if time.monotonic() > until:
                errors = [error["stack_trace"] for error in self._pages("/api/v2/importErrors", "import_errors")]
                raise RunFailed(f"DAGs {', '.join(sorted(missing))} are missing after {seconds:.0f} s. {errors or ''}")
            time.sleep(0.5)

    def unpaused(self) -> set[str]:
        """The ids of the DAGs that aren't paused."""
        return {dag["dag_id"] for dag in self._pages("/api/v2/dags", "dags") if not dag["is_paused"]}

    def pause(self, dag: str, paused: bool) -> None:
        """Pauses or unpauses a DAG."""
        self.patch(f"/api/v2/dags/{dag}", {"is_paused": paused})

    def trigger(self, dag: str, conf: dict[str, Any], run: str | None = None) -> str:
        """Unpauses and triggers a DAG; returns the run's id.

        :param run: the run's id; Airflow chooses one if it is None
        """
        self.pause(dag, False)
        body = {"logical_date": None, "conf": conf} | ({"dag_run_id": run} if run else {})
        return str(self.post(f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def end(self, dag: str, run: str) -> None:
        """Marks a run failed, which ends its running tasks with SIGTERM."""
        self.patch(f"/api/v2/dags/{dag}/dagRuns/{run}", {"state": "failed"})

    def clear(self, dag: str, run: str, *tasks: str | tuple[str, int]) -> None:
        """Clears tasks of a run as the button in the UI does, so that they run again.

        :param tasks: task ids, or (task id, map index) for one instance of a mapped task
        """
        body = {"dag_run_id": run, "task_ids": tasks, "dry_run": False, "only_failed": False}
        self.post(f"/api/v2/dags/{dag}/clearTaskInstances", body)

    def state(self, dag: str, run: str) -> str:
        """State of a run."""
        return str(self.get(f"/api/v2/dags/{dag}/dagRuns/{run}")["state"])

    def wait(self, dag: str, run: str, seconds: float) -> None:
        """Waits until a run has succeeded.

        :raises RunFailed: the run failed, or hasn't ended after `seconds`; the message has the tasks' states
        """
        until = time.monotonic() + seconds
        while (state := self.state(dag, run)) not in _OVER and time.monotonic() < until:
            time.sleep(0.5)
        if state != "success":
            tasks = {
                f"{task['task_id']}[{task['map_index']}]": task["state"]
                for task in self._pages(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances", "task_instances")
            }
            raise RunFailed(f"run {run} of DAG {dag} is {state}, its tasks are {tasks}; see their logs in the UI")

    def runs(self, dag: str) -> Iterator[dict[str, Any]]:
        """All runs of a DAG, with their conf."""
        return self._pages(f"/api/v2/dags/{dag}/dagRuns", "dag_runs")

    def tasks(self, dag: str, run: str) -> Iterator[dict[str, Any]]:
        """All task instances of a run; "~" stands for any run."""
        return self._pages(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances", "task_instances")

    def hitl_details(self, dag: str, run: str) -> Iterator[dict[str, Any]]:
        """The human-in-the-loop requests of a run, each with its task instance."""
        return self._pages(f"/api/v2/dags/{dag}/dagRuns/{run}/hitlDetails", "hitl_details")

    def count(self, dag: str, task: str, *states: str) -> int:
        """The number of instances of a DAG's task, in all runs, that are in one of these states."""
        path = f"/api/v2/dags/{dag}/dagRuns/~/taskInstances"
        return int(self.get(path, task_id=task, state=list(states), limit=1)["total_entries"])

    def xcom(self, dag: str, run: str, task: str, map_index: int = -1) -> Any:
        """The return value of a task instance."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        value = self.get(path, map_index=map_index)["value"]
        # A value that a trigger returned is stored as a string of JSON, one that a worker returned as JSON.
        return json.loads(value) if isinstance(value, str) else value

    def _pages(self, path: str, field: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            answer = self.get(path, limit=_PAGE, offset=offset)
            yield from answer[field]
            offset += _PAGE
            if offset >= answer["total_entries"]:
                return

    def get(self, path: str, **query: Any) -> Any:
        """The JSON body of the response to a GET request."""
        answer = self.page(path, query)
        answer.raise_for_status()
        return answer.json()

    def page(self, path: str, query: dict[str, Any]) -> httpx.Response:
        """The response to a GET request, whatever its status."""
        return self._client.get(path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON body of the response to a POST request."""
        answer = self._client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Sends a PATCH request with a JSON body.

        It is repeated after a 5xx response: the API server and the scheduler may change the same rows, and the database
        then ends one of the two transactions (a deadlock). A repeated PATCH has the same effect as one.
        """
        for _ in range(_PATCHES):
            answer = self._client.patch(path, json=body)
            if not answer.is_server_error:
                break
            time.sleep(_PATCH_SECONDS)
        answer.raise_for_status()
