"""
### Waiting, for comparison

DAGs of the benchmark `confirmation`: sensors and triggers of the Kafka provider, human-in-the-loop tasks, and sensors
whose trigger does nothing.
"""

from airflow.providers.apache.kafka.sensors.kafka import AwaitMessageSensor
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, BaseSensorOperator, task
from airflow.triggers.base import StartTriggerArgs
from fraudstream.cases.answers.decisions import OUTCOMES

from benchmarks.waiting.peers import TUNED_POLL_INTERVAL

MANY = {"max_active_runs": 1_000, "max_active_tasks": 10_000, "schedule": None}


class Idle(BaseSensorOperator):
    """Defers at once, as AwaitConfirmation does and with the same conf, to a trigger that does nothing."""

    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="benchmarks.waiting.idle.IdleTrigger",
        trigger_kwargs={"case": "{{ dag_run.conf['cases'][ti.map_index] | tojson }}"},
        next_method="execute_complete",
    )

    def __init__(self, *, number: int, **kwargs):
        super().__init__(**kwargs)
        self.number = number


class AwaitSharedStream(BaseSensorOperator):
    """Defers at once to a trigger that waits for the answer to its case and ends the task from the triggerer."""

    template_fields = ("topics", "case")
    start_from_trigger = True
    start_trigger_args = StartTriggerArgs(
        trigger_cls="benchmarks.waiting.shared_stream.CaseTrigger",
        trigger_kwargs={
            "topics": ["{{ dag_run.conf['topic'] }}"],
            "kafka_config_id": "shared_stream",
            "case": "{{ dag_run.conf['cases'][ti.map_index] }}",
        },
        next_method="execute_complete",
    )

    def __init__(self, *, number: int, topics=(), case="", **kwargs):
        super().__init__(**kwargs)
        self.number = number
        self.topics = topics
        self.case = case


@task
def numbers(dag_run=None) -> list[int]:
    return list(range(len(dag_run.conf["cases"])))


for name, sensor in {"idle": Idle, "shared_stream": AwaitSharedStream}.items():
    with DAG(name, **MANY):
        sensor.partial(task_id="wait").expand(number=numbers())


with DAG("hitl", **MANY):

    @task
    def questions(dag_run=None) -> list[dict]:
        return dag_run.conf["questions"]

    HITLOperator.partial(task_id="wait", options=list(OUTCOMES)).expand_kwargs(questions())


for name, options in {"stock_default": {}, "stock_tuned": {"poll_interval": TUNED_POLL_INTERVAL}}.items():
    with DAG(name, **MANY):

        @task
        def sensors(dag_run=None) -> list[dict]:
            return dag_run.conf["sensors"]

        AwaitMessageSensor.partial(
            task_id="wait", apply_function="benchmarks.waiting.peers.answer_of", **options
        ).expand_kwargs(sensors())
