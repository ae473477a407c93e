"""Starts and stops the brokers' machines on Compute Engine, and waits until no client needs them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.google.cloud.hooks.compute import ComputeEngineHook
from airflow.providers.google.cloud.operators.compute import (
    ComputeEngineBaseOperator,
    ComputeEngineStartInstanceOperator,
    ComputeEngineStopInstanceOperator,
)
from airflow.sdk import BaseSensorOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from googleapiclient.errors import HttpError

from fraudstream.errors import MachineError
from fraudstream.orchestration.connections import GOOGLE
from fraudstream.settings import Settings, get_settings

_POLL_SECONDS = 10.0
#: Longer than any allowed `minutes`, which ends the wait earlier and with a message.
_LONGEST_WAIT = timedelta(days=2)
_NOT_FOUND, _FORBIDDEN = 404, {401, 403}
_SETTINGS = "settings FRAUDSTREAM_COMPUTE_PROJECT and FRAUDSTREAM_COMPUTE_INSTANCES"


def machines(settings: Settings) -> list[dict[str, str]]:
    """The arguments of the mapped operators, one set for each instance; empty if no machines are configured."""
    return [
        {"zone": zone, "resource_id": name, "project_id": settings.compute_project}
        for zone, name in (instance.split("/") for instance in settings.compute_instances)
    ]


class _Machine(ComputeEngineBaseOperator):
    """An operator for one instance. Its errors name the instance, the cause, and what to change."""

    doing: str
    #: The instance's status after the operation, and the words for it in the log.
    reached: str
    already: str

    def execute(self, context: Context) -> None:
        """Starts or stops the instance, unless it has the wanted status already.

        :raises AirflowFailException: the instance doesn't exist, or the account has no permission: no retry helps
        :raises MachineError: the operation failed; a retry may succeed
        """
        where = f"{self.zone}/{self.resource_id} in project {self.project_id}"
        try:
            if self._status() == self.reached:
                self.log.info("%s %s; nothing to do", where, self.already)
                return
            super().execute(context)
        except HttpError as error:
            raise self._explained(where, error) from error
        except AirflowException as error:  # the operation ended with an error
            raise MachineError(
                f"{self.doing} {where} failed: {error}. A retry follows; where the zone has no capacity left, or a "
                f"quota is used up, it takes time or another zone"
            ) from error
        self.log.info("%s is %s", where, self.reached)

    def _status(self) -> str:
        hook = ComputeEngineHook(gcp_conn_id=self.gcp_conn_id, api_version=self.api_version)
        asked = hook.get_conn().instances().get(project=self.project_id, zone=self.zone, instance=self.resource_id)
        return str(asked.execute(num_retries=hook.num_retries)["status"])

    def _explained(self, where: str, error: HttpError) -> Exception:
        problem: Exception = MachineError(
            f"{self.doing} {where} failed: Compute Engine answers {error.status_code}, {error.reason}. A retry "
            f"follows; if it persists, look at the instance in the console"
        )
        if error.status_code == _NOT_FOUND:
            problem = AirflowFailException(
                f"{self.doing} {where} failed: there is no such instance ({error.reason}). Compare {_SETTINGS} with "
                f"`terraform output compute_instances` and `gcloud compute instances list`"
            )
        if error.status_code in _FORBIDDEN:
            problem = AirflowFailException(
                f"{self.doing} {where} failed: connection {GOOGLE} has no right to ({error.reason}). Grant its service "
                f"account compute.instances.get, .start and .stop on the instance and compute.zoneOperations.get in "
                f"the project, as terraform/kafka.tf and identities.tf do"
            )
        return problem


class StartMachine(_Machine, ComputeEngineStartInstanceOperator):
    """Starts an instance and waits until it runs. An instance that runs already is left alone."""

    doing, reached, already = "starting", "RUNNING", "runs already"


class StopMachine(_Machine, ComputeEngineStopInstanceOperator):
    """Stops an instance and waits until it is stopped. An instance that is stopped already is left alone."""

    doing, reached, already = "stopping", "TERMINATED", "is stopped already"


class AwaitIdle(BaseSensorOperator):
    """Waits until these DAGs have no active run, so that brokers aren't stopped while tasks need them.

    The sensor takes a worker slot only during a check.

    :param minutes: maximum wait
    :param anyway: don't wait, only log the DAGs with active runs
    """

    template_fields = ("minutes", "anyway")

    def __init__(self, *, dag_ids: Sequence[str], minutes: Any, anyway: Any, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=_POLL_SECONDS, timeout=_LONGEST_WAIT, **kwargs)
        self.dag_ids = list(dag_ids)
        self.minutes = minutes
        self.anyway = anyway

    def poke(self, context: Context) -> bool:
        """Returns whether the brokers may be stopped.

        :raises AirflowSkipException: there are no machines to stop
        :raises AirflowFailException: DAGs still have active runs after `minutes`; nothing was stopped
        """
        if not get_settings().compute_instances:
            raise AirflowSkipException("FRAUDSTREAM_COMPUTE_INSTANCES is empty: no machines to stop")
        running = self._running(context)
        if not running:
            return True
        if str(self.anyway) == "True":
            self.log.warning(
                "the brokers are stopped under %s, because `anyway` is set: their tasks wait for the brokers and, once "
                "start_kafka has run, continue after the last durable record; nothing is lost",
                running,
            )
            return True
        started = context["ti"].get_first_reschedule_date(context) or datetime.now(UTC)
        if datetime.now(UTC) - started >= timedelta(minutes=float(self.minutes)):
            raise AirflowFailException(
                f"the brokers keep running, because {running} still needs them after {self.minutes} minutes. "
                f"Pause these DAGs, mark their running tasks as success, which lets them finish the batch at hand, "
                f"and run stop_kafka again; or run it with `anyway`"
            )
        self.log.info("waiting for %s to end: pause them and mark their running tasks as success", running)
        return False

    def _running(self, context: Context) -> str:
        """The names of the DAGs with active runs; empty if there are none."""
        count = context["ti"].get_dr_count
        return ", ".join(dag for dag in self.dag_ids if count(dag_id=dag, states=["running", "queued"]))
