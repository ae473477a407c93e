"""Runs a consumer task as its DAG does, until SIGTERM. Arguments: role, topic, SMTP port."""

import signal
import sys
import threading
from typing import Any

from fraudstream.cases.links.signed import Links
from fraudstream.cases.opening import FOLDER as CASES_FOLDER
from fraudstream.cases.opening import CaseSink
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.records import Sink
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.mail.sink import mail_sink
from fraudstream.mail.smtp.server import SmtpServer
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.harness.outcome import timed


def main(role: str, topic: str, port: int) -> None:
    """Consumes the topic. `cases` in the outcome is the number of cases that were passed to DAG runs."""
    settings = Settings()
    store = Store(storage.Client(), settings.lake_bucket)
    stopped = threading.Event()
    cases: list[Any] = []
    sink: Sink
    if role == "write_lake":
        sink = JsonSink(
            AppendingChain(store, FOLDER_OF[topic]),
            LINES_OF[topic],
            flush_rows=settings.lake_flush_rows,
            flush_seconds=settings.lake_flush_seconds,
        )
    elif role == "send_mail":
        server = SmtpServer("127.0.0.1", port, security="plain")
        sink = mail_sink(settings, server, topic, AppendingChain(store, MAILS), Links(settings), stop=stopped.is_set)
    else:
        sink = CaseSink(
            ObjectChain(store, CASES_FOLDER),
            lambda run, conf: cases.extend(conf["cases"]),
            time_limit=settings.confirmation_time_limit,
        )
    subscription = Subscription(
        settings,
        topic,
        f"{role}-{topic}",
        sink,
        Codec.for_topic(topic, settings),
        dead_letters=DeadLetters(settings) if role == "write_lake" else None,
        columns=role == "write_lake",
    )

    def stop(*_: object) -> None:
        stopped.set()
        subscription.stop()

    signal.signal(signal.SIGTERM, stop)
    with timed() as work:
        work.items = subscription.run().records
        work.also["cases"] = len(cases)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
