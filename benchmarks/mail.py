"""send_mail: 50,000 notices to Postfix's smtp-sink on this machine, with the mail log."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.mail.letter.templates import Facts, MailTemplates
from fraudstream.settings import Settings
from isal import igzip

from benchmarks.harness.dataset import lake, paysim, upload
from benchmarks.harness.limit import limit_note, write_limit
from benchmarks.harness.report import CEILING, OURS, Report, reaches
from benchmarks.harness.rounds import Subject, run, run_rounds
from benchmarks.harness.topics import committed_ids, settings_of
from benchmarks.produce import ROUNDS
from local.programs.postfix import smtp_sink

#: With this number of rows at least 50,000 aren't frauds.
_FILE_ROWS = 50_100
_SMTPLIB_MAILS = 1_000
_HOOK = "benchmarks.peers.mail.smtp_hook"
_HOOK_MAILS = 2_000
_AIOSMTPLIB = "benchmarks.peers.mail.aiosmtplib_mails"


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Compares send_mail, from the topic to the written log, with smtp-source, Airflow's SmtpHook and libraries."""
    topic = NON_FRAUD_TRANSACTION
    store = lake(environment)
    run("benchmarks.ours.produce", [upload(store, paysim(_FILE_ROWS), "mail.csv")], environment)
    ids = [value for part in committed_ids(environment, topic) for value in part.to_pylist()]
    settings = settings_of(environment)
    length, connections = mail_bytes(settings), settings.mail_connections
    with smtp_sink() as port, write_limit(environment) as (limited, refused):
        subjects = [
            Subject(OURS, "benchmarks.ours.mail", lambda number: [topic, f"round-{number}", port]),
            Subject(CEILING, "benchmarks.peers.mail.smtp_source", lambda _: [port, len(ids), length, connections]),
            Subject("smtp hook", _HOOK, lambda _: [port, _HOOK_MAILS, "each"]),
            Subject("smtp hook, one connection", _HOOK, lambda _: [port, _HOOK_MAILS, "one"]),
            Subject("aiosmtplib", _AIOSMTPLIB, lambda _: [port, _HOOK_MAILS, connections]),
            Subject("smtplib", "benchmarks.peers.mail.smtplib_mails", lambda _: [port, _SMTPLIB_MAILS]),
        ]
        figures = run_rounds(subjects, ROUNDS, limited, say)
    ours = figures[OURS]
    logs = [_logged(store, f"round-{number}/") for number in range(ROUNDS)]
    return Report(
        "mail",
        "mails/s",
        figures,
        {
            "50,000 notices at least": len(ids) >= 50_000,
            "each mail sent and logged once": all(sorted(log) == sorted(ids) for log in logs),
            "0.25 of the ceiling": reaches(ours, 0.25, figures[CEILING]),
            "15 x SmtpHook as EmailOperator uses it": reaches(ours, 15, figures["smtp hook"]),
        },
        notes=[
            f"A notice has {length:,} bytes; ours and smtp-source use {connections} connections.",
            "Ours reads the topic, writes the mails, delivers them and writes the log; smtp-source sends one text.",
            "aiosmtplib keeps as many connections open as ours, in one event loop (uvloop), and builds each mail anew.",
            "SmtpHook as EmailOperator uses it opens a connection for each mail; with one for all it is the best case.",
            "Peers send fewer mails, since their rate doesn't depend on how many there are.",
            limit_note(refused),
        ],
    )


def mail_bytes(settings: Settings) -> int:
    """The size of a notice in bytes."""
    facts = Facts("738e366774-000000000", "9,839.64", "Payment", "****6815", "****7155", "1 October 2023, 01:00 UTC")
    templates = MailTemplates(settings)
    identity = f"<notice.{40 * '0'}@{templates.domain}>"
    now = datetime.now(UTC)
    return len(templates.render("notice", facts, recipient="C1231006815@example.com", identity=identity, sent_at=now))


def _logged(store: Store, prefix: str) -> list[str]:
    """The idTransaction of each line of the log with status sent."""
    lines = (
        json.loads(line)
        for info in store.list(prefix)
        for line in igzip.decompress(store.download(info) or b"").splitlines()
    )
    return [line["idTransaction"] for line in lines if line["status"] == "sent"]
