"""
### Start Kafka

Starts the Kafka machines and waits until the brokers answer. Then it creates missing topics, compares the existing ones
with what the pipeline needs, and registers the Avro schemas. It is safe to run at any time: it doesn't change what
already exists.

**When:** by hand, once after the infrastructure is created, and after each stop of the machines.

**Needs:** if the brokers are Compute Engine instances, the setting `FRAUDSTREAM_COMPUTE_INSTANCES` (zone/name,
separated by commas) and the connection `google_cloud_default`. Without instances, as on the local stack, that step is
skipped.

**When it fails:** `start_instances` names the instance, the reply of Compute Engine and what to change. The other
machines are started. Clear the task, and it starts the remaining ones. `wait_for_brokers` names the address that it
tried and the error: look at the brokers' logs. `create_topics` names the properties of an existing topic that differ
(partitions, replication, retention, cleanup, min.insync.replicas, timestamp type) and prints the commands that correct
them. `register_schemas` names the registry and, if a schema was refused, the subject that it isn't compatible with.
"""

from datetime import timedelta

from airflow.sdk import dag, task
from fraudstream.kafka.topic import cluster, topics
from fraudstream.orchestration.operators.machines import StartMachine, machines
from fraudstream.orchestration.retries import NO_MEMBER
from fraudstream.settings import get_settings


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["fraudstream", "kafka"],
    default_args={"owner": "data-platform", "retries": 2, "retry_delay": timedelta(seconds=15), **NO_MEMBER},
    dagrun_timeout=timedelta(minutes=30),
    max_active_runs=1,
)
def start_kafka():
    @task
    def list_machines() -> list[dict[str, str]]:
        return machines(get_settings())

    start_instances = StartMachine.partial(
        task_id="start_instances", map_index_template="{{ task.resource_id }}"
    ).expand_kwargs(list_machines())

    @task(trigger_rule="none_failed", execution_timeout=timedelta(minutes=10))
    def wait_for_brokers() -> int:
        return cluster.wait_for_brokers(get_settings(), seconds=300)

    @task(execution_timeout=timedelta(minutes=5))
    def create_topics() -> list[str]:
        return topics.create_topics(get_settings())

    @task(execution_timeout=timedelta(minutes=5))
    def register_schemas() -> dict[str, int]:
        return cluster.register_schemas(get_settings())

    start_instances >> wait_for_brokers() >> create_topics() >> register_schemas()


start_kafka()
