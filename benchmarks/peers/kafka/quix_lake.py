"""Quix Streams' file sink: writes gzipped JSON lines to the local disk. It runs in its own environment.

Arguments: topic, records, group. The time starts with the first record.
"""

import json
import os
import sys
import tempfile
from functools import partial

from quixstreams import Application
from quixstreams.models import SchemaRegistryClientConfig
from quixstreams.models.serializers.avro import AvroDeserializer
from quixstreams.sinks.community.file.formats import JSONFormat
from quixstreams.sinks.community.file.local import LocalFileSink

from benchmarks.harness.outcome import Timed, timed


def main(name: str, records: int, group: str, work: Timed) -> None:
    """Writes the first `records` records of the topic."""
    app = Application(
        broker_address=os.environ["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
        consumer_group=group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
    )
    registry = SchemaRegistryClientConfig(url=os.environ["FRAUDSTREAM_SCHEMA_REGISTRY_URL"])
    topic = app.topic(name, value_deserializer=AvroDeserializer(schema_registry_client_config=registry))

    def first(_: object) -> None:
        if not work.items:
            work.start()
        work.items += 1

    stream = app.dataframe(topic).update(first)
    stream.sink(
        LocalFileSink(directory="files", format=JSONFormat(compress=True, dumps=partial(json.dumps, default=str)))
    )
    app.run(count=records, collect=False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, timed() as outcome:
        os.chdir(folder)
        main(sys.argv[1], int(sys.argv[2]), sys.argv[3], outcome)
