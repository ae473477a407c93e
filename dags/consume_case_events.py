"""
### Consume case events

Reads the topic `case_event` and writes each event to `case_event/` in the lake: mails that didn't arrive or were sent
again, reminders, escalations, notes and decisions. `fraudstream/cases/events.py` explains the types.

**When:** every five minutes. A run ends when the topic has been read to its end.

**Needs:** `start_kafka` has run; connection `google_cloud_default`.

**When it fails:** the next run continues, and nothing is lost: the consumer resumes after its last durable record. The
log names the topic, partition and offset at which the task stopped. An invalid record is written to the topic
`case_event.dead_letter`, with the reason. `python -m fraudstream.kafka dead-letters` lists such records and produces
them again.
"""

from datetime import timedelta

from airflow.sdk import Param, dag
from fraudstream.kafka.records import CASE_EVENT
from fraudstream.orchestration.consumer_dags import PARAMS, RETRIES, START, consume
from fraudstream.settings import DagSettings


@dag(
    schedule="*/5 * * * *",
    start_date=START,
    catchup=False,
    doc_md=__doc__,
    tags=["fraudstream", "consumer"],
    default_args={"owner": "data-platform", "queue": DagSettings().queue_consumer_fraud, **RETRIES},
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    params={
        **PARAMS,
        "until": Param(
            "caught_up",
            type="string",
            enum=["forever", "caught_up"],
            title="Until",
            description="caught_up: ends at the end of the topic. forever: runs for the minutes below",
        ),
    },
)
def consume_case_events():
    consume(CASE_EVENT, "write_lake")


consume_case_events()
