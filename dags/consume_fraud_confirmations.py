"""
### Consume fraud confirmations

Reads the topic `fraud_confirmation` with two tasks, each in its own consumer group. `write_lake` writes one outcome for
each case to `fraud_confirmation/` in the lake. `send_mail` sends the customer a receipt. If a case has several answers,
the first one in log order counts.

**When:** always. A new run starts when the previous one ends, but at least a minute after that one's start. All tasks
of a run end at the same deadline, `max_minutes` after the run's start, even if they are waiting. If you mark the run
failed, or on a SIGTERM, the tasks end after the current batch. A run that you trigger by hand is queued until the
current run ends. For a single catch-up, pause the DAG, then run
`airflow dags test consume_fraud_confirmations --conf '{"until": "caught_up"}'`.

**Needs:** `start_kafka` has run; connections `google_cloud_default` and `smtp_default`.

**When it fails:** the task is retried until the run's deadline, then the next run continues. Nothing is lost: each
consumer resumes after its last durable record. An error that no retry can fix fails the task at once; the log says what
to change. Change it, then clear the task. The log names the topic, partition and offset at which the task stopped. An
invalid record is written to the topic `fraud_confirmation.dead_letter`, with the reason.
`python -m fraudstream.kafka dead-letters` lists such records and produces them again.
"""

from airflow.sdk import dag
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.orchestration.consumers.consumer_dags import PARAMS, START, TASKS, consume
from fraudstream.orchestration.timetables import Continuous
from fraudstream.settings import DagSettings


@dag(
    schedule=Continuous(),
    start_date=START,
    doc_md=__doc__,
    tags=["fraudstream", "consumer"],
    default_args={**TASKS, "queue": DagSettings().queue_consumer_fraud},
    max_active_runs=1,
    params=PARAMS,
)
def consume_fraud_confirmations():
    consume(FRAUD_CONFIRMATION, "write_lake", "send_mail")


consume_fraud_confirmations()
