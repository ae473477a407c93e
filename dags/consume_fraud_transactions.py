"""
### Consume fraud transactions

Feeds three things from the topic `fraud_transaction`, each in a consumer group of its own: `write_lake` writes the
cases as PENDING to `fraud_confirmation/` in the lake; `send_mail` mails the customer a notice with the links "report as
fraud" and "not fraud"; `open_cases` opens runs of the DAG `fraud_confirmation` with one waiting sensor a case.

**When:** always: a new run starts when one ends, a minute after its start at the earliest. Tasks of a run end at one
deadline, `max_minutes` after the run's start, whatever they wait for; marking the run failed or a SIGTERM ends them
after the batch at hand. A run triggered by hand waits for the one at work; for a single catch-up pause the DAG,
then `airflow dags test consume_fraud_transactions --conf '{"until": "caught_up"}'`.

**Needs:** `start_kafka` has run; connections `google_cloud_default` and `smtp_default`; the DAG
`fraud_confirmation` is unpaused.

**When it fails:** a task is tried again until the run's deadline, then the next run goes on; nothing is lost: each goes
on where its effect was last durable. An error that no retry heals fails the task at once: the log says what to change;
clear the task then. The log names topic, partition and offset of what it stopped at. What is no valid record lies in
`fraud_transaction.dead_letter` with the reason;
`python -m fraudstream.kafka dead-letters` shows it and produces it again.
"""

from airflow.sdk import dag
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.orchestration.consumer_dags import PARAMS, RETRIES, START, consume
from fraudstream.orchestration.timetables import Continuous
from fraudstream.settings import DagSettings


@dag(
    schedule=Continuous(),
    start_date=START,
    doc_md=__doc__,
    tags=["fraudstream", "consumer"],
    default_args={"owner": "data-platform", "queue": DagSettings().queue_consumer_fraud, **RETRIES},
    max_active_runs=1,
    params=PARAMS,
)
def consume_fraud_transactions():
    consume(FRAUD_TRANSACTION, "write_lake", "send_mail", "open_cases")


consume_fraud_transactions()
