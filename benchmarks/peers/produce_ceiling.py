"""The ceiling: produce_batch() of messages that are encoded already, idempotent, no transaction.

Arguments: path of the file, prefix of the topics.
"""

import sys

from confluent_kafka import Producer
from fraudstream.errors import KafkaError
from fraudstream.settings import Settings

from benchmarks.ours.messages import messages
from benchmarks.outcome import timed

_AT_ONCE = 10_000
_QUEUED = 100_000


def main(path: str, prefix: str) -> None:
    """Encodes all, then measures sending alone."""
    settings = Settings()
    ready = [
        (prefix + topic, part[start : start + _AT_ONCE])
        for topic, part in messages(settings, path)
        for start in range(0, len(part), _AT_ONCE)
    ]
    producer = Producer(
        settings.kafka_config(
            **{
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 200,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 2 * _QUEUED,
                "partitioner": "murmur2_random",
            }
        )
    )
    with timed() as work:
        for topic, part in ready:
            while len(producer) > _QUEUED:
                producer.poll(0.01)
            work.items += producer.produce_batch(topic, part)
        if producer.flush(120):
            raise KafkaError("not everything was taken within 120 s")


if __name__ == "__main__":
    main(*sys.argv[1:])
