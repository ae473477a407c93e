"""
### Try deferred mails again

Sends the mails that a mail server deferred (greylisting, a full mailbox, a quota). The first retry is due after five
minutes. The waits grow with each retry, and retries continue for `FRAUDSTREAM_MAIL_RETRY_HOURS`. Deferred mails are
kept on the topic `mail_retry`. Each try adds a line to `email_confirmation/`; the last line has the final status of the
mail. `python -m fraudstream.mail resend` uses the same topic, so this DAG sends these mails too.

**When:** every five minutes. A run ends when no mail is due.

**Needs:** `start_kafka` has run; connections `google_cloud_default` and `smtp_default`.

**When it fails:** the next run continues, and nothing is lost. The log has the reply of the mail server. If the server
refuses the login or the sender, the task fails at once and names the setting. docs/mail.md explains each reply.
"""

from datetime import timedelta

from airflow.sdk import Param, dag
from fraudstream.kafka.records import MAIL_RETRY
from fraudstream.orchestration.consumers.consumer_dags import PARAMS, START, TASKS, consume
from fraudstream.settings import DagSettings


@dag(
    schedule="*/5 * * * *",
    start_date=START,
    catchup=False,
    doc_md=__doc__,
    tags=["fraudstream", "consumer"],
    default_args={**TASKS, "queue": DagSettings().queue_consumer_fraud},
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    params={
        **PARAMS,
        "until": Param(
            "caught_up",
            type="string",
            enum=["forever", "caught_up"],
            title="Until",
            description="caught_up: ends when all due mails have been tried. forever: runs for the minutes below",
        ),
    },
)
def retry_mails():
    consume(MAIL_RETRY, "send_mail")


retry_mails()
