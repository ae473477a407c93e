"""The ceiling for producers: sends encoded messages with the pipeline's ColumnsProducer, idempotent, no transactions.

Arguments: path of the file, prefix of the topics.
"""

import sys

from confluent_kafka import Producer
from fraudstream.errors import KafkaError
from fraudstream.kafka.produce.columns_producer import QUEUE, ColumnsProducer, Messages
from fraudstream.settings import Settings

from benchmarks.harness.outcome import timed
from benchmarks.ours.messages import messages


def main(path: str, prefix: str) -> None:
    """Encodes all messages first, then measures only sending them."""
    settings = Settings()
    ready = [(prefix + topic, Messages.of(keys, values)) for topic, keys, values in messages(settings, path)]
    producer = Producer(
        settings.kafka_config(
            **{
                "acks": "all",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 200,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": QUEUE,
                "delivery.report.only.error": True,
                "partitioner": "murmur2_random",
            }
        )
    )
    with ColumnsProducer(producer) as columns, timed() as work:
        for topic, part in ready:
            columns.produce(topic, part)
            work.items += len(part)
        if producer.flush(120):
            raise KafkaError("the brokers didn't acknowledge all messages within 120 s")


if __name__ == "__main__":
    main(*sys.argv[1:])
