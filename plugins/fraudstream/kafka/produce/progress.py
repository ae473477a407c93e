"""The position up to which a file is produced: the last record of its key on the compacted topic ingest_progress."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka.admin import AdminClient, OffsetSpec

from fraudstream.errors import KafkaUnavailable, RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import INGEST_PROGRESS
from fraudstream.kafka.topic.topic_identity import require_offset
from fraudstream.settings import Settings

#: Longer than the brokers leave a producer's transaction open, which is a minute.
_WAIT_SECONDS = 90.0


@dataclass(frozen=True)
class IngestProgress:
    """A position in a source file, and the numbers of rows before it; fields as in the Avro schema."""

    file: str
    source: str
    byte: int = 0
    row: int = 0
    blank: int = 0
    fraud: int = 0
    nonFraud: int = 0
    rejected: int = 0
    done: bool = False

    def to_record(self) -> dict[str, object]:
        """The record of :data:`INGEST_PROGRESS`."""
        return asdict(self)


def last_progress(settings: Settings, codec: Codec, beginning: IngestProgress) -> IngestProgress:
    """The last committed position in a file, whatever the file's URI was then; `beginning` if there is none.

    Call it after init_transactions, which fences the file's older producer and aborts its open transaction. An open
    transaction of another file's producer hides the records after it from read_committed readers. So this function
    waits until all records that the topic has now can be read: up to 90 seconds, longer than the brokers leave a
    transaction open.

    :raises KafkaUnavailable: the topic can't be read to its end
    :raises KafkaRefused: the user may not read it
    :raises RecordError: a record of this file can't be decoded
    """
    found = beginning
    connection = Connection(settings)
    consumer = Consumer(
        settings.kafka_config(
            **{
                **one_read("fraudstream-ingest-progress"),
                "error_cb": connection.on_error,
            }
        )
    )
    admin = AdminClient(settings.kafka_config(error_cb=connection.on_error, log_level=3))
    try:
        # Clients that don't know the leader yet would wait half a second, or three, before they request an offset.
        connection.open(consumer, INGEST_PROGRESS)
        connection.open(admin, INGEST_PROGRESS)
        end = _high_watermark(admin)
        consumer.assign([TopicPartition(INGEST_PROGRESS, 0, OFFSET_BEGINNING)])
        for message in _messages(consumer, connection, end):
            if message.key() == beginning.file.encode():
                found = IngestProgress(**_decoded(codec, message))
    except KafkaException as error:
        raise connection.error(error, doing=f"reading topic {INGEST_PROGRESS}") from error
    finally:
        consumer.close()
    return found


def _messages(consumer: Consumer, connection: Connection, end: int) -> Iterator[Message]:
    """All committed records before `end`."""
    until = time.monotonic() + _WAIT_SECONDS
    position = 0
    while position < end:
        message = consumer.poll(1)
        if message is None:
            if time.monotonic() > until:
                raise KafkaUnavailable(
                    f"topic {INGEST_PROGRESS} can be read to offset {position}, and its records reach to {end}, after "
                    f"{_WAIT_SECONDS:.0f} s: another producer's transaction is open, or the brokers don't answer"
                )
        elif (error := message.error()) is None:
            position = message.offset() + 1
            yield message
        elif error.code() == Code._PARTITION_EOF:
            position = message.offset()  # beyond transaction markers; before a transaction that is open
        else:
            raise connection.error(error, doing=f"reading topic {INGEST_PROGRESS}")


def _high_watermark(admin: AdminClient) -> int:
    """The offset after the last replicated record, committed or not. Retries while the leader changes."""
    place = TopicPartition(INGEST_PROGRESS, 0)
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        try:
            asked = admin.list_offsets({place: OffsetSpec.latest()}, request_timeout=10)
            return require_offset(asked[place].result(), place)
        except (KafkaException, KafkaUnavailable) as error:
            may_pass = isinstance(error, KafkaUnavailable) or error.args[0].retriable()
            if not may_pass or time.monotonic() > until:
                raise
            time.sleep(0.2)


def _decoded(codec: Codec, message: Message) -> dict[str, Any]:
    try:
        return codec.decode(message.value())
    except RecordError as error:
        raise RecordError(
            f"{INGEST_PROGRESS}[0] offset {message.offset()} is not a position of {message.key()!r}: {error}. Nothing "
            f"is produced, because the position is unknown: find out who wrote it"
        ) from error
