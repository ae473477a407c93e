"""A producer as in tutorials: AvroSerializer and produce() for each row.

Arguments: path, rows, prefix of the topics, and "poll" (subject tutorial), or "flush" to flush after each row (seed).
"""

import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fraudstream.kafka.avro.codec import schema_text
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings

from benchmarks.harness.outcome import timed
from benchmarks.peers.kafka.rows import rows, topic_of


def main(path: str, limit: int, prefix: str, each: str) -> None:
    """Sends the first `limit` rows of the file."""
    settings = Settings()
    producer = Producer(settings.kafka_config())
    with SchemaRegistryClient({"url": settings.schema_registry_url}) as registry, timed() as work:
        serialize = AvroSerializer(registry, schema_text(NON_FRAUD_TRANSACTION))
        for record in rows(path, limit):
            topic = prefix + topic_of(record)
            value = serialize(record, SerializationContext(topic, MessageField.VALUE))
            while True:
                try:
                    producer.produce(topic, key=record["nameOrig"], value=value)
                    break
                except BufferError:
                    producer.poll(0.1)
            if each == "flush":
                producer.flush()
            else:
                producer.poll(0)
            work.items += 1
        producer.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
