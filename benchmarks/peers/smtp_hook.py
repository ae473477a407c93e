"""Airflow's SmtpHook, one connection for all mails. Arguments: port, mails."""

import json
import os
import sys

from airflow.providers.smtp.hooks.smtp import SmtpHook  # noqa: TID251  the peer is Airflow's own

from benchmarks.outcome import timed
from benchmarks.peers.texts import HTML, values

if __name__ == "__main__":
    os.environ["AIRFLOW_CONN_SMTP_BENCHMARK"] = json.dumps(
        {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": int(sys.argv[1]),
            "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "no-reply@bank.example"},
        }
    )
    with timed() as work, SmtpHook("smtp_benchmark") as hook:
        for number in range(int(sys.argv[2])):
            hook.send_email_smtp(
                to=f"C{number}@example.com",
                subject=f"Your transaction of {number}.25",
                html_content=HTML.format_map(values(number)),
            )
            work.items += 1
