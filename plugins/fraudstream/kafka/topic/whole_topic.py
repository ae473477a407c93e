"""All records of a topic, from its beginning or a time to the end that it has when reading begins, for tools."""

import time
import uuid
from collections.abc import Iterator
from datetime import datetime

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.settings import Settings

#: Longest time without a record before the brokers count as gone.
_SILENCE_SECONDS = 30.0


def records(settings: Settings, topic: str, since: datetime | None = None) -> Iterator[Message]:
    """Committed records, each partition in its order; joins no group and commits nothing.

    :param since: only records that the brokers took at or after this time; None: all
    :raises KafkaUnavailable: the brokers don't answer
    :raises KafkaRefused: they turn the user away
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
            for start in starts:
                start.offset = int(since.timestamp() * 1000)
            try:
                # where nothing is that young, the answer is the partition's end
                starts = consumer.offsets_for_times(starts, timeout=20)
            except KafkaException as failed:
                raise connection.error(failed, doing=f"reading topic {topic}") from failed
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
