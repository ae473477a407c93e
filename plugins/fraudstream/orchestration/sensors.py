"""The sensor that waits for a customer's answer to one fraud case."""

from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.definitions.context import Context
from airflow.triggers.base import StartTriggerArgs

from fraudstream.orchestration.triggers import ConfirmationTrigger, outcome_line

CASE = "{{ dag_run.conf['cases'][ti.map_index] | tojson }}"


class AwaitConfirmation(BaseSensorOperator):
    """Waits for the outcome of the case at this map index in the run's conf. The outcome is the sensor's XCom.

    The scheduler passes the task directly to the triggerer, which also ends it, so that it never takes a worker slot.
    Without a scheduler (``airflow dags test``) it defers as other sensors do.

    :param subject: the case in one line, for Airflow's UI; the sensor is mapped over it
    """

    template_fields = ("case",)
    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="fraudstream.orchestration.triggers.ConfirmationTrigger",
        trigger_kwargs={"case": CASE, "end_from_trigger": True},
        next_method="execute_complete",
    )

    def __init__(self, *, subject: str, case: str = CASE, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.subject = subject
        self.case = case

    def execute(self, context: Context) -> None:
        """Defers to the trigger."""
        self.defer(trigger=ConfirmationTrigger(case=self.case), method_name="execute_complete")

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Returns the outcome that the trigger found."""
        self.log.info(outcome_line(event))
        return event
