"""Quix Streams' producer: topic.serialize() and produce() for each row. It runs in its own environment.

Arguments: path, rows, prefix of the topics, path of the schema.
"""

import json
import os
import sys
from pathlib import Path

from quixstreams import Application
from quixstreams.models import SchemaRegistryClientConfig
from quixstreams.models.serializers.avro import AvroSerializer

from benchmarks.harness.outcome import timed
from benchmarks.peers.kafka.rows import rows, topic_of


def main(path: str, limit: int, prefix: str, schema: str) -> None:
    """Sends the first `limit` rows of the file."""
    app = Application(
        broker_address=os.environ["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
        producer_extra_config={"compression.type": "lz4", "linger.ms": 20},
        auto_create_topics=False,
    )
    registry = SchemaRegistryClientConfig(url=os.environ["FRAUDSTREAM_SCHEMA_REGISTRY_URL"])
    serializer = AvroSerializer(json.loads(Path(schema).read_text()), schema_registry_client_config=registry)
    topics = {
        name: app.topic(prefix + name, value_serializer=serializer)
        for name in ("fraud_transaction", "non_fraud_transaction")
    }
    with timed() as work, app.get_producer() as producer:
        for record in rows(path, limit):
            topic = topics[topic_of(record)]
            message = topic.serialize(key=record["nameOrig"], value=record)
            producer.produce(topic=topic.name, key=message.key, value=message.value)
            work.items += 1
        producer.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
