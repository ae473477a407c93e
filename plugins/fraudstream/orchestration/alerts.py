"""Mails to the operators, sent with the SMTP provider's notifier: which task failed, since when, and what to do.

The recipient is the setting FRAUDSTREAM_ALERT_ADDRESS. If it is empty, failures show only in Airflow's UI and the logs.
"""

import html
import sys
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from fraudstream.settings import get_settings

_TASK_FAILED = "{{ ti.dag_id }}: task {{ ti.task_id }} failed"
_TASK_TEXT = (
    "<p>Task <b>{{ ti.task_id }}</b> of DAG <b>{{ ti.dag_id }}</b>, run {{ run_id }}, failed after try "
    "{{ ti.try_number }}:</p><pre>{{ exception | string | e }}</pre>"
    '<p><a href="{{ ti.log_url }}">Log</a>. The DAG\'s page in Airflow says what to do.</p>'
)


_LATE = "{{ dag_run.dag_id }} is late"
_LATE_TEXT = (
    "<p>Run {{ dag_run.dag_run_id }} of DAG <b>{{ dag_run.dag_id }}</b> should have ended by "
    "{{ deadline.deadline_time }} and is {{ dag_run.state }}. The DAG's page in Airflow says what to do.</p>"
)


class Alert(SmtpNotifier):
    """A mail to the address in the settings, over the connection in the settings. Both are read when it is sent.

    :param subject: one line, a Jinja template
    :param text: HTML, a Jinja template
    """

    def __init__(self, subject: str = _TASK_FAILED, text: str = _TASK_TEXT, **kwargs: Any) -> None:
        super().__init__(to="", subject=subject, html_content=text, **kwargs)

    def notify(self, context: Context) -> None:
        """Sends the mail, unless the address is empty."""
        if self._addressed():
            super().notify(context)

    async def async_notify(self, context: Context) -> None:
        """Sends the mail from the triggerer, which runs the callbacks of missed deadlines."""
        if self._addressed():
            await super().async_notify(context)

    def _addressed(self) -> bool:
        settings = get_settings()
        self.to = settings.alert_address
        self.from_email = settings.mail_sender
        self.smtp_conn_id = settings.alert_conn_id
        if not self.to:
            self.log.warning("FRAUDSTREAM_ALERT_ADDRESS is empty, so nobody is mailed: %s", self.subject)
        return bool(self.to)


def late_after(hours: float) -> DeadlineAlert | None:
    """A deadline for a DAG's runs: a mail is sent if a run hasn't ended this many hours after it was queued.

    None in ``airflow dags test``, where Airflow 3.3.2 fails, because it doesn't find the alert in its database.
    """
    if sys.argv[1:3] == ["dags", "test"]:
        return None
    callback = AsyncCallback(Alert, kwargs={"subject": _LATE, "text": _LATE_TEXT})
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=hours), callback)


def paragraphs(lines: Iterable[str]) -> str:
    """Returns lines of text as HTML paragraphs, escaped so that Jinja doesn't change them."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines).replace("{", "&#123;")
