"""Reads what file, topics, lake, mail log and cases have at the end, without the pipeline's own readers."""

import csv
import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Message
from fraudstream import money
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.records import FRAUD_TRANSACTION, INGEST_DEAD_LETTER, NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.settings import Settings

from local import topics
from tests.chaos.poison import Place

#: A type that makes a row invalid.
BAD_TYPE = "CHAOS"
TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION)


class Row(NamedTuple):
    """The columns that identify a transaction of the file, and the topic that it belongs to."""

    topic: str
    id_transaction: str
    type: str
    amount: Decimal
    nameOrig: str
    nameDest: str


class Content(NamedTuple):
    """The contents that are compared."""

    rows: list[Row]
    #: 1-based numbers of the file's invalid lines.
    rejected_lines: list[int]
    topics: list[tuple[Place, Row]]
    lake: list[tuple[Place, Row]]
    mail_log: list[dict[str, Any]]
    #: The cases by run id, once for each time that the run was opened.
    runs: list[tuple[str, list[str]]]
    #: The places of the records that are dead letters, and their values.
    dead: list[tuple[Place, bytes | None]]
    dead_lines: list[int]


def read(settings: Settings, file: Path, prefix: str, cases: Path) -> Content:
    """Reads everything; `prefix` is the start of the ids of the file's rows."""
    rows, rejected = rows_of(file, prefix)
    store = Store.connect(settings.lake_bucket)
    lines = [line for folder in ("transaction", "fraud_confirmation") for line in _lines(store, folder)]
    return Content(
        rows,
        rejected,
        [record for topic in TOPICS for record in rows_in(settings, topic)],
        [(place_of(line), row_of(line["topic"], line)) for line in lines],
        list(_lines(store, "email_confirmation")),
        [(line["run"], line["cases"]) for line in map(json.loads, cases.read_text().splitlines())],
        [letter for topic in TOPICS for letter in dead_letters(settings, topic)],
        [int(dict(m.headers() or [])["line"]) for m in committed(settings, INGEST_DEAD_LETTER)],
    )


def rows_of(path: Path, prefix: str) -> tuple[list[Row], list[int]]:
    rows: list[Row] = []
    rejected: list[int] = []
    with path.open(newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines)):
            if line["type"] == BAD_TYPE:
                rejected.append(number + 2)
            else:
                topic = FRAUD_TRANSACTION if line["isFraud"] == "1" else NON_FRAUD_TRANSACTION
                rows.append(row_of(topic, line | {"idTransaction": f"{prefix}-{number:09d}"}))
    return rows, rejected


def row_of(topic: str, line: dict[str, Any]) -> Row:
    return Row(
        topic,
        line["idTransaction"],
        line["type"],
        Decimal(line["amount"]).quantize(Decimal("0.01")),
        line["nameOrig"],
        line["nameDest"],
    )


def place_of(line: dict[str, Any]) -> Place:
    return line["topic"], int(line["partition"]), int(line["offset"])


def rows_in(settings: Settings, topic: str) -> Iterator[tuple[Place, Row]]:
    codec = Codec.for_topic(topic, settings)
    decoded = codec.decode_messages(list(committed(settings, topic)))
    for message, row in zip(decoded.valid, decoded.rows.to_pylist(), strict=True):
        yield (
            (topic, message.partition(), message.offset()),
            row_of(topic, row | {"amount": money.to_text(row["amount"])}),
        )


def _lines(store: Store, folder: str) -> Iterator[dict[str, Any]]:
    for info in store.list(f"{folder}/"):
        data = store.download(info)
        assert data is not None, info
        for line in gzip.decompress(data).splitlines():
            yield json.loads(line, parse_float=Decimal)


def dead_letters(settings: Settings, topic: str) -> Iterator[tuple[Place, bytes | None]]:
    for letter in map(DeadLetter.of, committed(settings, dead_letter_topic(topic))):
        yield (*letter.partition, letter.offset), letter.value


def committed(settings: Settings, topic: str) -> Iterator[Message]:
    with topics.reader(settings) as reader:
        yield from topics.records(reader, settings, topic)
