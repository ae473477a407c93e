"""What lies in a topic now, for whoever looks at the pipeline from outside."""

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
    """A read_committed consumer that is told where partitions end and joins no group; a context manager."""
    return Consumer(settings.kafka_config(**one_read("fraudstream-reader")))


def admin_client(settings: Settings) -> AdminClient:
    """An admin client that tells of errors, not of events that it drops when it ends."""
    return AdminClient(settings.kafka_config(log_level=3))


def partitions(consumer: Consumer, topic: str) -> list[int]:
    """Numbers of a topic's partitions."""
    return sorted(consumer.list_topics(topic, timeout=30).topics[topic].partitions)


def committed(settings: Settings, group: str, topic: str) -> dict[int, int]:
    """Where a consumer group goes on, by partition; without those in which it has committed nothing."""
    with reader(settings) as asking:
        places = [Partition(topic, number) for number in partitions(asking, topic)]
    return {place.number: offset for place, offset in committed_offsets(settings, group, places).items()}


def records(
    consumer: Consumer, settings: Settings, topic: str, since: Mapping[int, int] | None = None
) -> Iterator[Message]:
    """All committed records of a topic as it is now; of partitions in `since` those from that offset on.

    Partitions get a transaction's marker a moment after its commit, and tell a read_committed reader an earlier end
    until then: what is produced decides how far to read. A transaction that stays open for 5 s isn't waited for.

    :raises KafkaError: it can't be read to its end
    """
    ends = _produced(settings, topic, partitions(consumer, topic))
    starts = dict.fromkeys(ends, OFFSET_BEGINNING) | dict(since or {})
    consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
    held: set[int] = set()  # partitions read to a record of a transaction that is open
    heard = time.monotonic()
    while ends:
        messages = consumer.consume(_BATCH_RECORDS, 0.05)  # waits for all of them, or that long
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
    """The offset after each partition's last record, committed or not; a new leader may take a moment to know it."""
    admin = admin_client(settings)
    wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in numbers}
    deadline = time.monotonic() + _SILENCE_SECONDS
    while True:
        asked = admin.list_offsets(wanted, request_timeout=_SILENCE_SECONDS)
        try:
            return {place.partition: int(answer.result().offset) for place, answer in asked.items()}
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise KafkaError(f"the ends of topic {topic} can't be asked for: {error}") from error
            time.sleep(0.2)


def decoded(consumer: Consumer, settings: Settings, topic: str) -> Iterator[tuple[pa.RecordBatch, int]]:
    """The rows of :func:`records`, a batch in memory at a time, and how many of each batch can't be decoded.

    :raises KafkaError: the topic can't be read to its end
    """
    codec = Codec.for_topic(topic, settings)
    messages = records(consumer, settings, topic)
    while batch := list(itertools.islice(messages, _BATCH_RECORDS)):
        decoded = codec.decode_messages(batch)
        yield decoded.rows, len(decoded.invalid)
