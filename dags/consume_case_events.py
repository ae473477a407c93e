"""
### Consume case events

Reads the topic `case_event` and writes each event to `case_event/` in the lake: accepted notices, mails that didn't
arrive or were sent again, reminders, escalations, notes and decisions. `fraudstream/cases/events.py` explains the
types.

**When:** always. A new run starts when the previous one ends, but at least a minute after that one's start. If you mark
the run failed, or on a SIGTERM, the task ends after the current batch. For a single catch-up, pause the DAG, then run
`airflow dags test consume_case_events --conf '{"until": "caught_up"}'`.

**Needs:** `start_kafka` has run; connection `google_cloud_default`.

**When it fails:** the task is retried until the run's deadline, then the next run continues. Nothing is lost: the
consumer resumes after its last durable record. The log names the topic, partition and offset at which the task stopped.
An invalid record is written to the topic `case_event.dead_letter`, with the reason.
`python -m fraudstream.kafka dead-letters` lists such records and produces them again.
"""

from airflow.sdk import dag
from fraudstream.kafka.records import CASE_EVENT
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
def consume_case_events():
    consume(CASE_EVENT, "write_lake")


consume_case_events()
