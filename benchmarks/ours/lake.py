"""Runs write_lake from a topic to a folder, until the end of the topic. Arguments: topic, folder.

The time starts when the first partition is assigned.
"""

import sys
import time

from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.consume.subscription import Subscription
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.lines import LINES_OF
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.harness.outcome import Timed, timed


class TimedSink(JsonSink):
    """A JsonSink that starts the clock when its first partition is assigned."""

    work: Timed
    _begun = False

    def assigned(self, partition: Partition, committed: int | None) -> int:
        if not self._begun:
            self._begun = True
            self.work.start()
            self.work.also["began"] = time.time()
        return super().assigned(partition, committed)


def main(topic: str, folder: str) -> None:
    """Writes the whole topic."""
    settings = Settings()
    chain = AppendingChain(Store(storage.Client(), settings.lake_bucket), folder)
    sink = TimedSink(
        chain, LINES_OF[topic], flush_rows=settings.lake_flush_rows, flush_seconds=settings.lake_flush_seconds
    )
    subscription = Subscription(
        settings,
        topic,
        f"benchmark-{folder}",
        sink,
        Codec.for_topic(topic, settings),
        until="caught_up",
        dead_letters=DeadLetters(settings),
        columns=True,
    )
    with timed() as work:
        sink.work = work
        work.items = subscription.run().records
        work.also["ended"] = time.time()


if __name__ == "__main__":
    main(*sys.argv[1:])
