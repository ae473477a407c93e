"""Finds the offset up to which a partition of a topic and the lake have the same records."""

import logging
import time
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.cases.answers.staff import staff_decisions
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.dead_letters.letters import read_dead_letters
from fraudstream.kafka.records import FRAUD_CONFIRMATION, Partition
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.stream.names import FOLDER_OF
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_BATCH = 10_000
_SILENCE_SECONDS = 30.0
#: idTransaction, and timestamp of the record in ms since 1970.
_Record = tuple[str, int]


def agreement(settings: Settings, lake: Lake, partition: Partition, end: int) -> int:
    """Returns the first offset below `end` at which the lake and the topic differ; `end` if they don't differ.

    Two records are the same if they have the same offset, timestamp and idTransaction. Records of the topic after the
    last record of the lake are not compared: if the topic agrees up to there, it was restored with its offsets. Returns
    0 if the lake has no record of the partition.

    :raises KafkaUnavailable: the topic can't be read
    """
    known = _lake_records(lake, partition) if partition.topic in FOLDER_OF else {}
    if not known:
        return 0
    seen: set[str] = set()
    for offset, record, staff in _topic_records(settings, partition, min(end, max(known) + 1)):
        in_lake = known.pop(offset, None)
        # Of the answers to a case, the lake has only the first one and all staff decisions.
        late = partition.topic == FRAUD_CONFIRMATION and not staff and record[0] in seen
        if in_lake != record and not (late and in_lake is None):
            return min([offset, *known])
        seen.add(record[0])
    return min([end, *(offset for offset in known if offset < end)])


def _lake_records(lake: Lake, partition: Partition) -> dict[int, _Record]:
    folder = FOLDER_OF[partition.topic]
    found: dict[int, _Record] = {}
    for rows in read_rows(lake, folder, ["topic", "partition", "offset", "idTransaction", "recordTimestamp"]):
        ours = pc.and_(pc.equal(rows["topic"], partition.topic), pc.equal(rows["partition"], partition.number))
        part = rows.filter(ours)
        times = part["recordTimestamp"].cast(pa.timestamp("ms")).cast(pa.int64()).to_pylist()
        places = part["offset"].to_pylist()
        found |= dict(zip(places, zip(part["idTransaction"].to_pylist(), times, strict=True), strict=True))
    return found


def _topic_records(settings: Settings, partition: Partition, end: int) -> Iterator[tuple[int, _Record, bool]]:
    """Yields offset and content of each record below `end`, in offset order, and whether it is a staff decision.

    Dead letters are skipped.
    """
    codec = Codec.for_topic(partition.topic, settings)
    letters = read_dead_letters(settings, partition.topic)
    dead = {(letter.offset, letter.timestamp) for letter in letters if letter.partition == partition}
    for messages in _messages(settings, partition, end):
        decoded = codec.decode_messages(messages)
        cases = decoded.rows["idTransaction"].to_pylist()
        confirmations = partition.topic == FRAUD_CONFIRMATION
        staff = staff_decisions(decoded.rows).tolist() if confirmations else [False] * len(cases)
        for message, case, decision in zip(decoded.valid, cases, staff, strict=True):
            offset, timestamp = message.offset(), message.timestamp()[1]
            # a dead letter isn't in the lake, even if its schema has become known since
            if dead.isdisjoint({(offset, timestamp), (offset, None)}):
                yield offset, (case, timestamp), decision


def _messages(settings: Settings, partition: Partition, end: int) -> Iterator[list[Message]]:
    connection = Connection(settings)
    consumer = Consumer(
        settings.kafka_config(
            **{
                **one_read("fraudstream-rebase"),
                "error_cb": connection.on_error,
            }
        ),
        logger=log,
    )
    try:
        consumer.assign([TopicPartition(*partition, OFFSET_BEGINNING)])
        position, heard = 0, time.monotonic()
        while position < end:
            batch = []
            for message in consumer.consume(_BATCH, 0.5):
                error = message.error()
                heard = time.monotonic()
                if error is None and message.offset() < end:
                    batch.append(message)
                elif error is not None and error.code() != Code._PARTITION_EOF:
                    raise connection.error(error, doing=f"reading {partition}")
                position = message.offset() + (error is None)
            yield batch
            if time.monotonic() - heard > _SILENCE_SECONDS:
                raise KafkaUnavailable(f"{partition} can't be read to offset {end}: no answer for {_SILENCE_SECONDS} s")
    finally:
        consumer.close()
