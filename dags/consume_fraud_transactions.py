"""
### Consume fraud transactions

Feeds three things from the topic `fraud_transaction`, each in a consumer group of its own: `write_lake` writes the
cases as PENDING to `fraud_confirmation/` in the lake; `send_mail` mails the customer a notice with the links "report as
fraud" and "not fraud"; `open_cases` opens runs of the DAG `fraud_confirmation` with one waiting sensor a case.

**When:** always: a new run starts when one ends. Each run is bounded by `max_minutes`; marking it failed or a SIGTERM
ends it after the batch at hand. A run triggered by hand waits for the one at work; for a single catch-up pause
the DAG, then `airflow dags test consume_fraud_transactions --conf '{"until": "caught_up"}'`.

**Needs:** `start_kafka` has run; connections `google_cloud_default` and `smtp_default`; the DAG
`fraud_confirmation` is unpaused.

**When it fails:** tasks retry without end, with backoff, and nothing is lost: each goes on where its effect was last
durable. The log names topic, partition and offset of what it stopped at. What can't be decoded lies in
`fraud_transaction.dead_letter` with the reason.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag, task
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.orchestration.operators import Consume
from fraudstream.settings import get_settings


@dag(
    schedule="@continuous",
    # Without a start the first run's interval is empty, and Airflow takes the second run for the first.
    start_date=datetime(2023, 10, 1, tzinfo=UTC),
    doc_md=__doc__,
    tags=["fraudstream", "consumer"],
    default_args={
        "owner": "data-platform",
        "queue": get_settings().queue_consumer_fraud,
        # Without end: the guarantee is that every record gets its effect, however long its target is away.
        "retries": 1_000_000,
        "retry_delay": timedelta(seconds=5),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=5),
    },
    max_active_runs=1,
    params={
        "until": Param(
            "forever",
            type="string",
            enum=["forever", "caught_up"],
            title="Until",
            description="forever: as many minutes as below; caught_up: until the topic has been read to its end",
        ),
        "max_minutes": Param(
            60, type="integer", minimum=1, maximum=1440, title="Minutes", description="Longest time a run takes"
        ),
        "workers": Param(
            1,
            type="integer",
            minimum=1,
            maximum=32,
            title="Workers",
            description="Members of each consumer group; more than the topic has partitions stay idle",
        ),
    },
)
def consume_fraud_transactions():
    @task(retries=3)
    def workers(params: dict) -> list[int]:
        return list(range(1, params["workers"] + 1))

    numbers = workers()
    for role in ("write_lake", "send_mail", "open_cases"):
        Consume.partial(
            task_id=role,
            topic=FRAUD_TRANSACTION,
            role=role,
            until="{{ params.until }}",
            max_minutes="{{ params.max_minutes }}",
        ).expand(worker=numbers)


consume_fraud_transactions()
