"""The messages that Publisher makes of a file, for what has to send exactly these."""

from collections.abc import Iterator
from typing import Any

import pyarrow.compute as pc
from fraudstream.dataset.reader import Position, read_chunks
from fraudstream.dataset.source.source import open_source
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings


def messages(settings: Settings, path: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Topic and messages, key and value, some ten thousand at a time."""
    codecs = {topic: Codec.for_topic(topic, settings) for topic in (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION)}
    for chunk in read_chunks(open_source(path, None), Position(0, 0), start_date=settings.dataset_start_date):
        for topic, flag in ((NON_FRAUD_TRANSACTION, 0), (FRAUD_TRANSACTION, 1)):
            rows = chunk.rows.filter(pc.equal(chunk.rows.column("isFraud"), flag))
            values = codecs[topic].encode_rows(rows).to_pylist()
            keys = rows.column("nameOrig").to_pylist()
            yield topic, [{"key": key, "value": value} for key, value in zip(keys, values, strict=True)]
