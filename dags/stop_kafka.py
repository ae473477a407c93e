"""
### Stop Kafka

Waits until no run of the DAGs that use the brokers is active, then stops the Kafka machines. The topics and the
consumers' offsets stay on the machines' disks. `start_kafka` starts the machines again.

**When:** by hand, to save the cost of the machines. First pause the DAGs `produce_transactions`, `consume_…`,
`retry_mails`, `audit_lake`, `watch_cases` and `close_expired_cases`. Then mark their running tasks as success: each
finishes its current batch. Cases that wait for a customer keep waiting, but the confirmation site accepts no answer
while Kafka is stopped.

**Needs:** the setting `FRAUDSTREAM_COMPUTE_INSTANCES` (zone/name, separated by commas) and the connection
`google_cloud_default`. Without instances, as on the local stack, there is nothing to stop and the tasks are skipped.

**When it fails:** `wait_for_consumers` names the DAGs that still run; nothing was stopped. `stop_instances` names the
instance, the reply of Compute Engine and what to change. The other machines are stopped. Run the DAG again to stop the
remaining ones.
"""

from datetime import timedelta

from airflow.sdk import Param, dag, task
from fraudstream.orchestration.operators.machines import AwaitIdle, StopMachine, machines
from fraudstream.orchestration.retries import NO_MEMBER
from fraudstream.settings import get_settings


@dag(
    schedule=None,
    doc_md=__doc__,
    tags=["fraudstream", "kafka"],
    default_args={"owner": "data-platform", "retries": 2, "retry_delay": timedelta(seconds=15), **NO_MEMBER},
    params={
        "patience_minutes": Param(
            30,
            type="integer",
            minimum=0,
            maximum=1440,
            title="Patience, minutes",
            description="Maximum wait for the producer and the consumers to end",
        ),
        "anyway": Param(
            False,
            type="boolean",
            title="Stop anyway",
            description="Stop the brokers even if clients still run. They wait and lose nothing",
        ),
    },
    max_active_runs=1,
)
def stop_kafka():
    wait_for_consumers = AwaitIdle(
        task_id="wait_for_consumers",
        dag_ids=[
            "produce_transactions",
            "consume_non_fraud_transactions",
            "consume_fraud_transactions",
            "consume_fraud_confirmations",
            "consume_case_events",
            "retry_mails",
            "audit_lake",
            "close_expired_cases",
            "watch_cases",
        ],
        minutes="{{ params.patience_minutes }}",
        anyway="{{ params.anyway }}",
    )

    @task
    def list_machines() -> list[dict[str, str]]:
        return machines(get_settings())

    listed = list_machines()
    wait_for_consumers >> listed
    StopMachine.partial(task_id="stop_instances", map_index_template="{{ task.resource_id }}").expand_kwargs(listed)


stop_kafka()
