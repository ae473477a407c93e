"""A consumer that writes an object for each record: poll(), AvroDeserializer, json.dumps, upload.

Arguments: topic, records. The time starts with the first record.
"""

import json
import sys

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.harness.outcome import timed


def main(topic: str, records: int) -> None:
    """Writes the first `records` records of the topic."""
    settings = Settings()
    bucket = storage.Client().bucket(settings.lake_bucket)
    consumer = Consumer(settings.kafka_config(**{"group.id": "benchmark-rows", "auto.offset.reset": "earliest"}))
    consumer.subscribe([topic])
    with SchemaRegistryClient({"url": settings.schema_registry_url}) as registry, timed() as work:
        deserialize = AvroDeserializer(registry)
        while work.items < records:
            message = consumer.poll(1.0)
            if message is None:
                continue
            if not work.items:
                work.start()
            record = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
            blob = bucket.blob(f"rows/{message.partition()}-{message.offset()}.json")
            blob.upload_from_string(json.dumps(record, default=str), content_type="application/json")
            work.items += 1
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
