"""Sends mails with Airflow's SmtpHook.

Arguments: port, mails, and "each" for a connection for each mail, as EmailOperator does, or "one" for one connection.
"""

import json
import os
import sys

from airflow.providers.smtp.hooks.smtp import SmtpHook  # noqa: TID251  the peer is Airflow's own

from benchmarks.harness.outcome import timed
from benchmarks.peers.mail.texts import Notices

_NOTICES = Notices()


def send(hook: SmtpHook, number: int) -> None:
    """Sends one notice."""
    subject, _, html = _NOTICES(number)
    hook.send_email_smtp(to=f"C{number}@example.com", subject=subject, html_content=html)


def main(port: int, mails: int, connections: str) -> None:
    """Sends `mails` notices."""
    os.environ["AIRFLOW_CONN_SMTP_BENCHMARK"] = json.dumps(
        {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": port,
            "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "no-reply@bank.example"},
        }
    )
    with timed() as work:
        work.items = mails
        if connections == "one":
            with SmtpHook("smtp_benchmark") as hook:
                for number in range(mails):
                    send(hook, number)
        else:
            for number in range(mails):
                with SmtpHook("smtp_benchmark") as hook:
                    send(hook, number)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
