"""Searches a topic for the records of one transaction: the partition of its key, or given partitions from an offset on.

Topics have no index of their records, so partitions are read. Only records whose bytes contain the id are decoded.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.cases.answers.order import in_log_order
from fraudstream.errors import KafkaUnavailable, RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.topic.topic_reader import GROUP
from fraudstream.settings import Settings

#: Beginning of a partition, as an offset.
BEGINNING = OFFSET_BEGINNING
_BATCH = 10_000
_SILENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Hit:
    """A decoded record and its place; `at` is the record's timestamp."""

    topic: str
    partition: int
    offset: int
    at: datetime
    record: dict[str, Any]

    @property
    def place(self) -> str:
        """Topic, partition and offset as text."""
        return f"topic {self.topic}, partition {self.partition}, offset {self.offset}"


@dataclass(frozen=True, slots=True)
class Searched:
    """The result of a search: hits, and number of records read; `whole` is False if the search ran out of time."""

    hits: list[Hit]
    records: int
    whole: bool


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's own clients, and every producer here, choose for a key: murmur2, seed 0x9747b28c."""
    mask, factor = 0xFFFFFFFF, 0x5BD1E995
    state = (0x9747B28C ^ len(key)) & mask
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * factor & mask
        word = (word ^ word >> 24) * factor & mask
        state = (state * factor & mask) ^ word
    if whole < len(key):
        state = (state ^ int.from_bytes(key[whole:], "little")) * factor & mask
    state = (state ^ state >> 13) * factor & mask
    state ^= state >> 15
    return (state & 0x7FFFFFFF) % partitions


class TopicSearch:
    """Searches with one consumer, which joins no group. To be used from one thread.

    :raises KafkaError: from every method, when the brokers don't answer, refuse, or don't have the topic
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._consumer = Consumer(
            settings.kafka_config(
                **{
                    **one_read(GROUP),
                    "error_cb": self._connection.on_error,
                    "auto.offset.reset": "earliest",
                }
            )
        )

    def __enter__(self) -> "TopicSearch":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions."""
        found = self._connection.open(self._consumer, topic).topics[topic]
        if found.error is not None:
            raise self._connection.error(found.error, doing=f"reading topic {topic}")
        return sorted(found.partitions)

    def search(self, topic: str, id_transaction: str, starts: Mapping[int, int], seconds: float) -> Searched:
        """Returns the records with this `idTransaction`, in log order.

        :param starts: offset of the first record to read, by partition; each partition is read to its current end
        :param seconds: maximum duration
        """
        codec = Codec.for_topic(topic, self._settings)
        text = id_transaction.encode()
        until = time.monotonic() + seconds
        unread, records, hits = set(starts), 0, []
        self._consumer.assign([TopicPartition(topic, number, offset) for number, offset in starts.items()])
        heard = time.monotonic()
        while unread and time.monotonic() < until:
            messages = self._consumer.consume(_BATCH, 0.1)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_SECONDS:
                raise KafkaUnavailable(f"topic {topic} can't be read: no answer for {_SILENCE_SECONDS:.0f} s")
            for message in messages:
                error = message.error()
                if error is None:
                    records += 1
                    if text in (message.value() or b""):
                        hits += _hits(codec, message, id_transaction)
                elif error.code() == Code._PARTITION_EOF:
                    unread.discard(message.partition() or 0)
                else:
                    raise self._connection.error(error, doing=f"reading topic {topic}")
        self._consumer.unassign()
        ordered = in_log_order(hits, lambda hit: (round(hit.at.timestamp() * 1000), hit.partition, hit.offset))
        return Searched(ordered, records, not unread)

    def of_key(self, topic: str, id_transaction: str, seconds: float, *, every: bool = False) -> Searched:
        """:meth:`search` in the partition of the id as key, or in all partitions if `every` is True.

        A record lies in another partition if partitions were added to the topic after it was written.
        """
        numbers = self.partitions(topic)
        asked = numbers if every else [partition_of(id_transaction.encode(), len(numbers))]
        return self.search(topic, id_transaction, dict.fromkeys(asked, BEGINNING), seconds)


def _hits(codec: Codec, message: Message, id_transaction: str) -> list[Hit]:
    try:
        record = codec.decode(message.value())
    except RecordError:  # a dead letter, which `dead-letters ls` lists
        return []
    if record["idTransaction"] != id_transaction:
        return []
    at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
    return [Hit(str(message.topic()), message.partition() or 0, message.offset() or 0, at, record)]
