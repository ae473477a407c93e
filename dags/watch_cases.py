"""
### Watch cases

Reminds customers who haven't answered, and tells people which cases they have to look at. A case is escalated when its
notice isn't delivered, when most of the time limit has passed without an answer, or when its answers differ. Each
reminder and each escalation is an event on topic `case_event`. One mail to `FRAUDSTREAM_ALERT_ADDRESS` has the counts
of all that is new. The DAG `retry_mails` sends the reminders.

**When:** every five minutes. `FRAUDSTREAM_CONFIRMATION_REMINDERS` and `FRAUDSTREAM_CONFIRMATION_ESCALATION` say after
which shares of the time limit.

**Needs:** `start_kafka` has run; the connection that `FRAUDSTREAM_ALERT_CONN_ID` names.

**When it fails:** the log names the topic that can't be used, or the mail server's reply. The next run does what is
left: no reminder is sent twice, and an escalation that was not reported yet is reported then.
"""

from datetime import UTC, datetime, timedelta

from airflow.sdk import dag
from fraudstream.kafka.records import CASE_EVENT
from fraudstream.orchestration.assets import topic_asset
from fraudstream.orchestration.operators.cases import WatchCases
from fraudstream.orchestration.retries import NO_MEMBER


@dag(
    schedule="*/5 * * * *",
    start_date=datetime(2023, 10, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    tags=["fraudstream", "confirmation"],
    default_args={
        "owner": "fraud-team",
        "retries": 1,
        "retry_delay": timedelta(seconds=30),
        "execution_timeout": timedelta(minutes=15),
        **NO_MEMBER,
    },
    max_active_runs=1,
)
def watch_cases():
    WatchCases(task_id="remind_and_escalate", outlets=[topic_asset(CASE_EVENT)])


watch_cases()
