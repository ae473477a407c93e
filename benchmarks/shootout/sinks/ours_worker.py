"""Runs write_lake as its DAG does, from a topic to the folder with the topic's name, until SIGTERM. Argument: topic."""

import logging
import signal
import sys

from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.settings import Settings


def main(topic: str) -> None:
    """Consumes the topic until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = Settings()
    sink = JsonSink(
        AppendingChain(Store.connect(settings.lake_bucket), topic),
        LINES_OF[NON_FRAUD_TRANSACTION],
        flush_rows=settings.lake_flush_rows,
        flush_seconds=settings.lake_flush_seconds,
    )
    subscription = Subscription(
        settings,
        topic,
        f"write_lake-{topic}",
        sink,
        Codec.for_topic(NON_FRAUD_TRANSACTION, settings),
        dead_letters=DeadLetters(settings),
        columns=True,
    )
    signal.signal(signal.SIGTERM, lambda *_: subscription.stop())
    subscription.run()


if __name__ == "__main__":
    main(sys.argv[1])
