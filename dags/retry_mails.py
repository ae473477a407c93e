"""
### Try deferred mails again

Sends the mails that a mail server deferred (greylisting, a full mailbox, a quota) and that are due: five minutes after
the first try, then after longer and longer waits, for `FRAUDSTREAM_MAIL_RETRY_HOURS`. They wait in topic `mail_retry`;
each try gets its line in `email_confirmation/`, the last one says what became of the mail. Mails that a person had sent
anew (`python -m fraudstream.mail resend`) go the same way.

**When:** every five minutes; a run ends when nothing is due.

**Needs:** `start_kafka` has run; connections `google_cloud_default` and `smtp_default`.

**When it fails:** the next run goes on; nothing is lost. The log says what the mail server answered. A refused login or
sender fails the task at once and names the setting: docs/mail.md says what each answer means.
"""

from datetime import timedelta

from airflow.sdk import Param, dag
from fraudstream.kafka.records import MAIL_RETRY
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
            description="caught_up: until what is due now was tried; forever: as many minutes as below",
        ),
    },
)
def retry_mails():
    consume(MAIL_RETRY, "send_mail")


retry_mails()
