"""Encodes a file to the same messages as Publisher, for peers that must send exactly these."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from fraudstream.dataset.reader import Position, read_chunks
from fraudstream.dataset.source.source import open_source
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings


def messages(settings: Settings, path: str) -> Iterator[tuple[str, pa.StringArray, pa.BinaryArray]]:
    """Yields topic, keys and values of messages, some ten thousand at a time."""
    codecs = {topic: Codec.for_topic(topic, settings) for topic in (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION)}
    for chunk in read_chunks(open_source(path, None), Position(0, 0), start_date=settings.dataset_start_date):
        for topic, flag in ((NON_FRAUD_TRANSACTION, 0), (FRAUD_TRANSACTION, 1)):
            rows = chunk.rows.filter(pc.equal(chunk.rows.column("isFraud"), flag))
            yield topic, rows.column("nameOrig"), codecs[topic].encode_rows(rows)
