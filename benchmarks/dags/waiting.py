"""
### Waiting, for comparison

Of the benchmark `confirmation`: sensors of the Kafka provider, and sensors that wait for nothing.
"""

from airflow.providers.apache.kafka.sensors.kafka import AwaitMessageSensor
from airflow.sdk import DAG, BaseSensorOperator, task
from airflow.triggers.base import StartTriggerArgs

from benchmarks.waiting.stock import TUNED_POLL_INTERVAL

MANY = {"max_active_runs": 1_000, "max_active_tasks": 10_000, "schedule": None}


class Idle(BaseSensorOperator):
    """Waits in the triggerer as AwaitConfirmation does, with the same conf, and does nothing there."""

    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="benchmarks.waiting.idle.IdleTrigger",
        trigger_kwargs={"case": "{{ dag_run.conf['cases'][ti.map_index] | tojson }}"},
        next_method="execute_complete",
    )

    def __init__(self, *, number: int, **kwargs):
        super().__init__(**kwargs)
        self.number = number


with DAG("idle", **MANY):

    @task
    def numbers(dag_run=None) -> list[int]:
        return list(range(len(dag_run.conf["cases"])))

    Idle.partial(task_id="wait").expand(number=numbers())


for name, options in {"stock_default": {}, "stock_tuned": {"poll_interval": TUNED_POLL_INTERVAL}}.items():
    with DAG(name, **MANY):

        @task
        def sensors(dag_run=None) -> list[dict]:
            return dag_run.conf["sensors"]

        AwaitMessageSensor.partial(
            task_id="wait", topics=[name], apply_function="benchmarks.waiting.stock.answer_of", **options
        ).expand_kwargs(sensors())
