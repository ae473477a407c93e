"""Reads all records of a topic, from its beginning or a time until the end of each partition is reached."""

import time
import uuid
from collections.abc import Iterator
from datetime import datetime

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.settings import Settings

#: Longest time without a record before the brokers count as gone.
_SILENCE_SECONDS = 30.0


def records(settings: Settings, topic: str, since: datetime | None = None) -> Iterator[Message]:
    """Yields the committed records, in offset order within each partition. Joins no group and commits nothing.

    :param since: only records that the brokers appended at or after this time; None: all
    :raises KafkaUnavailable: the brokers don't answer
    :raises KafkaRefused: the brokers refuse the user
    :raises KafkaError: the topic is missing
    """
    connection = Connection(settings)
    consumer = Consumer(
        settings.kafka_config(
            **{
                **one_read(f"whole-topic-{uuid.uuid4().hex}"),
                "auto.offset.reset": "earliest",
                "error_cb": connection.on_error,
            }
        )
    )
    try:
        found = connection.open(consumer, topic).topics[topic]
        if found.error is not None:
            raise KafkaError(f"topic {topic} can't be read: {found.error}; run the DAG start_kafka")
        starts = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in found.partitions]
        if since is not None:
            starts = _starts(consumer, connection, starts, since)
        consumer.assign(starts)
        unread, heard = set(found.partitions), time.monotonic()
        while unread:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() - heard > _SILENCE_SECONDS:
                    raise KafkaUnavailable(f"no answer about topic {topic} for {_SILENCE_SECONDS:.0f} s")
                continue
            heard = time.monotonic()
            error = message.error()
            if error is None:
                if message.partition() in unread:
                    yield message
            elif error.code() == Code._PARTITION_EOF:
                unread.discard(message.partition() or 0)
            else:
                raise connection.error(error, doing=f"reading topic {topic}")
    finally:
        consumer.close()


def _starts(
    consumer: Consumer, connection: Connection, partitions: list[TopicPartition], since: datetime
) -> list[TopicPartition]:
    """The offset of each partition's first record at or after a time.

    :raises KafkaUnavailable: the offset of a partition is unknown; its beginning would also give older records
    """
    doing = f"asking for the first offsets since {since} of topic {partitions[0].topic}"
    for partition in partitions:
        partition.offset = int(since.timestamp() * 1000)
    try:
        # for a partition without such a record the answer is its end
        found: list[TopicPartition] = consumer.offsets_for_times(partitions, timeout=20)
    except KafkaException as error:
        raise connection.error(error, doing=doing) from error
    for partition in found:
        if partition.error is not None or partition.offset == OFFSET_INVALID:  # its leader just went away
            raise connection.error(partition.error or Code(Code.LEADER_NOT_AVAILABLE), doing=doing)
    return found
