"""Reads a topic from its beginning to its present end, without a consumer group."""

import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaUnavailable, RecordError
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import Partition
from fraudstream.settings import Settings

#: The group id that librdkafka requires. Nothing joins this group, and nothing is committed to it.
GROUP = "fraudstream-topic-reader"
_POLL_RECORDS = 1_000
_SILENCE_SECONDS = 30.0
#: Seconds without a record after which reading ends before an open transaction, although the partition's end is higher.
_OPEN_SECONDS = 1.0
#: Error codes of the client for an offset, or a partition, that doesn't exist.
_GONE = {Code._AUTO_OFFSET_RESET, Code._PARTITION_EOF, Code._UNKNOWN_PARTITION}


class TopicReader:
    """Reads the committed records of a topic. Each :meth:`read` returns those that came since the one before.

    :raises KafkaError: from every method, if the brokers don't answer, refuse, or don't have the topic
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._topic = topic
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
        self._positions: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections to the brokers."""
        self._consumer.close()

    def read(self) -> Iterator[Message]:
        """Yields the records that weren't read yet, up to the end that the topic has now."""
        if not self._positions:
            self._start()
        ends = self._ends()
        heard = time.monotonic()
        while any(position < ends[number] for number, position in self._positions.items()):
            messages = self._consumer.consume(_POLL_RECORDS, 0.1)
            for message in messages:
                if self._advance(message):
                    yield message
            if messages:
                heard = time.monotonic()
            elif self._at_ends and time.monotonic() - heard > _OPEN_SECONDS:
                return
            elif time.monotonic() - heard > _SILENCE_SECONDS:
                raise KafkaUnavailable(f"topic {self._topic} can't be read: no answer for {_SILENCE_SECONDS:.0f} s")

    def _start(self) -> None:
        found = self._connection.open(self._consumer, self._topic).topics[self._topic]
        if found.error is not None:
            raise self._connection.error(found.error, doing=f"reading topic {self._topic}")
        self._positions = dict.fromkeys(found.partitions, 0)
        self._reported: dict[int, int] = {}
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in self._positions])

    def _ends(self) -> dict[int, int]:
        try:
            places = [TopicPartition(self._topic, number) for number in self._positions]
            return {p.partition: self._consumer.get_watermark_offsets(p, timeout=20)[1] for p in places}
        except KafkaException as error:
            raise self._connection.error(error, doing=f"reading topic {self._topic}") from error

    @property
    def _at_ends(self) -> bool:
        return all(self._reported.get(number) == position for number, position in self._positions.items())

    def _advance(self, message: Message) -> bool:
        """Updates the position of the message's partition. Returns True for a record, False for a partition's end."""
        error, number = message.error(), message.partition() or 0
        if error is None:
            self._positions[number] = (message.offset() or 0) + 1
            return True
        if error.code() != Code._PARTITION_EOF:
            raise self._connection.error(error, doing=f"reading topic {self._topic}")
        self._positions[number] = self._reported[number] = message.offset() or 0
        return False


def read_record(settings: Settings, partition: Partition, offset: int) -> Message:
    """The record at an offset.

    :raises RecordError: the record doesn't exist any more
    :raises KafkaError: the brokers don't answer or refuse
    """
    connection = Connection(settings)
    consumer = Consumer(
        settings.kafka_config(
            **{
                **one_read(GROUP),
                "error_cb": connection.on_error,
                "auto.offset.reset": "error",
            }
        )
    )
    try:
        connection.open(consumer, partition.topic)
        consumer.assign([TopicPartition(partition.topic, partition.number, offset)])
        message = consumer.poll(_SILENCE_SECONDS)
        if message is None:
            raise KafkaUnavailable(f"{partition} offset {offset} can't be read: no answer for {_SILENCE_SECONDS:.0f} s")
        error = message.error()
        if error is None and message.offset() == offset:
            return message
        if error is not None and error.code() not in _GONE:
            raise connection.error(error, doing=f"reading {partition} offset {offset}")
        found = f"offset {message.offset()}" if error is None else error
        raise RecordError(f"{partition} offset {offset} can't be read any more: found {found}")
    except KafkaException as failed:
        raise connection.error(failed, doing=f"reading {partition} offset {offset}") from failed
    finally:
        consumer.close()
