"""One worker as a process, built as in the DAGs' operators, but without Airflow.

``python -m tests.chaos.workers produce FILE ROWS_PER_SECOND``, or ``ROLE TOPIC UNTIL CASES_FILE`` with the role
write_lake, send_mail or open_cases. After SIGTERM it finishes its batch and ends. Exit codes: 0 done; TEMPORARY: an
error that a retry may resolve; FENCED: another worker has the partition; PERMANENT: any other error of fraudstream.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.cases.links.signed import Links
from fraudstream.cases.opening import FOLDER, CaseSink
from fraudstream.dataset import open_source
from fraudstream.errors import FraudstreamError, PartitionLost
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS, UNKNOWN_SECONDS_OF_SENDER
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.kafka.records import MAIL_RETRY, Sink
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.mail.sink import mail_sink
from fraudstream.mail.smtp.server import SmtpServer
from fraudstream.settings import Settings

TEMPORARY, FENCED, PERMANENT = 75, 76, 70
SMTP_PORT = "CHAOS_SMTP_PORT"
#: Short, so that a stalled server causes several timeouts in a run.
_SMTP_TIMEOUT = 5.0
#: Deferred mails are tried again at once: none waits longer than this.
_HOUR = 3600.0

log = logging.getLogger("tests.chaos.worker")


def runs_appended_to(path: Path) -> Callable[[str, dict[str, Any]], None]:
    """An `open_run` that appends run id and cases to a file before it returns. A run may be in the file repeatedly."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def open_run(run_id: str, conf: dict[str, Any]) -> None:
        line = {"run": run_id, "cases": [case["idTransaction"] for case in conf["cases"]]}
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)

    return open_run


def sink_of(settings: Settings, role: str, topic: str, cases: Path, stop: threading.Event) -> Sink:
    """The sink of a role."""
    store = Store.connect(settings.lake_bucket)
    if role == "write_lake":
        return JsonSink(
            AppendingChain(store, FOLDER_OF[topic]),
            LINES_OF[topic],
            flush_rows=settings.lake_flush_rows,
            flush_seconds=settings.lake_flush_seconds,
        )
    if role == "send_mail":
        port, seconds = int(os.environ[SMTP_PORT]), _SMTP_TIMEOUT
        server = SmtpServer("127.0.0.1", port, security="plain", timeout=seconds, content_timeout=seconds)
        sink = mail_sink(
            settings,
            server,
            topic,
            AppendingChain(store, MAILS),
            Links(settings),
            stop=stop.is_set,
            time_of_day=lambda: time.time() + _HOUR,
        )
        return FirstAnswers(sink, "tryId") if topic == MAIL_RETRY else sink
    return CaseSink(ObjectChain(store, FOLDER), runs_appended_to(cases), time_limit=settings.confirmation_time_limit)


def produce(settings: Settings, file: str, rows_per_second: str) -> None:
    """Produces a file; no share of invalid rows ends the run."""
    publisher = Publisher(
        settings, open_source(file, None), rows_per_second=int(rows_per_second), max_rejected_share=1.0
    )
    signal.signal(signal.SIGTERM, lambda *_: publisher.stop())
    log.info("reached %s", publisher.run())


def consume(settings: Settings, role: str, topic: str, until: str, cases: str) -> None:
    """Runs a member of the group `<role>-<topic>`."""
    stop = threading.Event()
    subscription = Subscription(
        settings,
        topic,
        f"{role}-{topic}",
        sink_of(settings, role, topic, Path(cases), stop),
        Codec.for_topic(topic, settings, UNKNOWN_SECONDS_OF_SENDER if role == "write_lake" else UNKNOWN_SECONDS),
        until="caught_up" if until == "caught_up" else "forever",
        dead_letters=DeadLetters(settings) if role == "write_lake" else None,
        columns=role == "write_lake",
    )

    def end(*_: object) -> None:
        stop.set()
        subscription.stop()

    signal.signal(signal.SIGTERM, end)
    log.info("did %s", subscription.run())


def main(role: str, *arguments: str) -> int:
    """Runs a worker and returns its exit code; an unexpected error ends it with a traceback and 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings()
    try:
        if role == "produce":
            produce(settings, *arguments)
        else:
            consume(settings, role, *arguments)
    except FraudstreamError as error:
        log.error("ended by %s: %s", type(error).__name__, error)  # noqa: TRY400  no traceback wanted
        return FENCED if isinstance(error, PartitionLost) else TEMPORARY if error.retryable else PERMANENT
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
