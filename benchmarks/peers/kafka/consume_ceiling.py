"""The ceiling for consumers: consume(10000) with the settings of Subscription; records are dropped.

Arguments: topic, group. The time starts when partitions are assigned.
"""

import sys

from confluent_kafka import Consumer, KafkaError
from fraudstream.settings import Settings

from benchmarks.harness.outcome import timed


def main(topic: str, group: str) -> None:
    """Reads the whole topic."""
    consumer = Consumer(
        Settings().kafka_config(
            **{
                "group.id": group,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 32_768,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 20,
            }
        )
    )
    left: set[int] = set()
    with timed() as work:

        def assigned(_: Consumer, partitions: list) -> None:  # type: ignore[type-arg]
            left.update(entry.partition for entry in partitions)
            work.start()

        consumer.subscribe([topic], on_assign=assigned)
        done = False
        while not done:
            for message in consumer.consume(10_000, 0.2):
                error = message.error()
                if error is None:
                    work.items += 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                    done = not left
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
