"""What lies in a topic now, for whoever looks at the pipeline from outside."""

import itertools
import time
from collections.abc import Iterator

import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from confluent_kafka import KafkaError as Code
from fraudstream.errors import KafkaError
from fraudstream.kafka.codec import Codec
from fraudstream.settings import Settings

_BATCH_RECORDS = 10_000
_SILENCE_SECONDS = 30


def reader(settings: Settings) -> Consumer:
    """A read_committed consumer that is told where partitions end and joins no group; a context manager."""
    return Consumer(
        settings.kafka_config(
            **{
                "group.id": "fraudstream-reader",  # needed by the client, never joined or committed
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 10,  # what a broker waits for more records before it says that this is the end
            }
        )
    )


def partitions(consumer: Consumer, topic: str) -> list[int]:
    """Numbers of a topic's partitions."""
    return sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions)


def records(consumer: Consumer, topic: str) -> Iterator[Message]:
    """All committed records of a topic as it is now.

    :raises KafkaError: it can't be read to its end
    """
    left = set(partitions(consumer, topic))
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in left])
    heard = time.monotonic()
    while left:
        for message in consumer.consume(_BATCH_RECORDS, 0.05):  # waits for all of them, or that long
            heard = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == Code._PARTITION_EOF:
                left.discard(message.partition())
            else:
                raise KafkaError(f"topic {topic} can't be read: {error}")
        if time.monotonic() - heard > _SILENCE_SECONDS:
            raise KafkaError(f"topic {topic} can't be read to its end: no answer for {_SILENCE_SECONDS} s")
    consumer.unassign()


def decoded(consumer: Consumer, settings: Settings, topic: str) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The rows of :func:`records`, a batch in memory at a time, and how many of each batch can't be decoded.

    :raises KafkaError: the topic can't be read to its end
    """
    codec = Codec.for_topic(topic, settings)
    messages = records(consumer, topic)
    while batch := [message.value() for message in itertools.islice(messages, _BATCH_RECORDS)]:
        rows, bad = codec.decode_rows(pa.array(batch, pa.binary()))
        yield rows, len(bad)
