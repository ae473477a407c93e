"""Reads whole topics, for the demo, tests and benchmarks."""

import itertools
import time
from collections.abc import Iterator, Mapping

import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka.admin import AdminClient, OffsetSpec
from fraudstream.errors import KafkaError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.group_offsets import committed_offsets
from fraudstream.settings import Settings

_BATCH_RECORDS = 10_000
_SILENCE_SECONDS = 30
_OPEN_TRANSACTION_SECONDS = 5


def reader(settings: Settings) -> Consumer:
    """A read_committed consumer (a context manager) that joins no group and gets an event at each partition's end."""
    return Consumer(settings.kafka_config(**one_read("fraudstream-reader")))


def admin_client(settings: Settings) -> AdminClient:
    """An admin client that logs errors only; at its end librdkafka would otherwise log events that it drops."""
    return AdminClient(settings.kafka_config(log_level=3))


def partitions(consumer: Consumer, topic: str) -> list[int]:
    """The sorted numbers of a topic's partitions."""
    return sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions)


def committed(settings: Settings, group: str, topic: str) -> dict[int, int]:
    """The committed offsets of a consumer group by partition, without partitions in which it has committed nothing."""
    with reader(settings) as asking:
        places = [Partition(topic, number) for number in partitions(asking, topic)]
    return {place.number: offset for place, offset in committed_offsets(settings, group, places).items()}


def records(
    consumer: Consumer, settings: Settings, topic: str, since: Mapping[int, int] | None = None
) -> Iterator[Message]:
    """Yields the committed records of a topic up to its current end.

    A partition gets the marker of a transaction a moment after the commit. Until then a read_committed consumer sees an
    earlier end, so this function reads up to the end of all produced records. It waits at most 5 s for an open
    transaction.

    :param since: offset of the first record to read, by partition; other partitions are read from their start
    :raises KafkaError: the topic can't be read to its end
    """
    ends = _produced(settings, topic, partitions(consumer, topic))
    starts = dict.fromkeys(ends, OFFSET_BEGINNING) | dict(since or {})
    consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
    held: set[int] = set()  # partitions that are read up to the first record of an open transaction
    heard = time.monotonic()
    while ends:
        messages = consumer.consume(_BATCH_RECORDS, 0.05)  # returns when the batch is full, or after 0.05 s
        for message in messages:
            number = message.partition()
            error = message.error()
            if error is None:
                held.discard(number)
                yield message
            elif error.code() != Code._PARTITION_EOF:
                raise KafkaError(f"topic {topic} can't be read: {error}")
            elif message.offset() < ends.get(number, 0):
                held.add(number)
            else:
                ends.pop(number, None)
        if messages:
            heard = time.monotonic()
        silent = time.monotonic() - heard
        if silent > _OPEN_TRANSACTION_SECONDS and held.issuperset(ends):
            break
        if silent > _SILENCE_SECONDS:
            raise KafkaError(f"topic {topic} can't be read to its end: no answer for {_SILENCE_SECONDS} s")
    consumer.unassign()


def _produced(settings: Settings, topic: str, numbers: list[int]) -> dict[int, int]:
    """The end offset of each partition, with uncommitted records. Retries while a new leader doesn't know it yet."""
    admin = admin_client(settings)
    wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
    deadline = time.monotonic() + _SILENCE_SECONDS
    while True:
        asked = admin.list_offsets(wanted, request_timeout=_SILENCE_SECONDS)
        try:
            return {place.partition: int(answer.result().offset) for place, answer in asked.items()}
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise KafkaError(f"the end offsets of topic {topic} can't be read: {error}") from error
            time.sleep(0.2)


def decoded(consumer: Consumer, settings: Settings, topic: str) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yields the decoded rows of :func:`records` batch by batch, each with the number of records that can't be decoded.

    :raises KafkaError: the topic can't be read to its end
    """
    codec = Codec.for_topic(topic, settings)
    messages = records(consumer, settings, topic)
    while batch := list(itertools.islice(messages, _BATCH_RECORDS)):
        decoded = codec.decode_messages(batch)
        yield decoded.rows, len(decoded.invalid)
