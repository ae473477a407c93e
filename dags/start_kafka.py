"""
### Start Kafka

Starts the Kafka machines, waits until the brokers answer, creates the topics that are missing, compares those that
exist with what the pipeline needs and registers the Avro schemas. Safe to run again at any time: what is there stays
as it is.

**When:** by hand, once after the infrastructure is built and after each stop of the machines.

**Needs:** setting `FRAUDSTREAM_COMPUTE_INSTANCES` (zone/name, by comma) and connection `google_cloud_default` where the
brokers are Compute Engine instances; without instances, as on one machine, that step is skipped.

**When it fails:** `start_instances` names the instance, what Compute Engine answered and what to change; the other
machines are started. Clear it, and it goes on with what is left. `wait_for_brokers` says which address it tried and
what it heard: look at the brokers' logs. `create_topics` says what of an existing topic differs (partitions,
replication, retention, cleanup, min.insync.replicas, timestamp type) and the commands that repair it.
`register_schemas` names the registry and, for a refused schema, the subject that it isn't compatible with.
"""

from datetime import timedelta

from airflow.sdk import dag, task
from fraudstream.kafka.topic import cluster, topics
from fraudstream.orchestration.machine_operators import StartMachine, machines
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
