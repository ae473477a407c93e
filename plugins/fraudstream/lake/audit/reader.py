"""Reads topics to their ends for the audit, and finds out which records are dead letters."""

import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.dead_letters.invalid_records import Places, add_places, dead_indices
from fraudstream.kafka.dead_letters.letters import letters_of
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.lake.audit.offsets import Offsets
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_POLL_RECORDS = 10_000
#: Time without any record after which the brokers count as unavailable.
_SILENCE_SECONDS = 30.0


def read_letters(
    settings: Settings, topic: str, since: Mapping[Partition, int] | None = None
) -> tuple[Mapping[Partition, Places], dict[Partition, int]]:
    """The records of `topic` that are dead letters, and the end of each dead-letter partition.

    :param since: the offset to begin at in each partition of the dead-letter topic; None: at the beginning
    """
    read = Reader(settings, dead_letter_topic(topic), since)
    found: defaultdict[Partition, dict[int, set[int | None]]] = defaultdict(dict)
    for _, messages in read:
        add_places(found, letters_of(messages))
    return found, {partition: end for partition, (_, end) in read.bounds.items()}


def dead(messages: Sequence[Message], offsets: Offsets, letters: Places) -> np.ndarray:
    """The mask of the messages that are dead letters.

    :param offsets: of the messages
    :param letters: the dead letters of their partition
    """
    mask = np.zeros(len(offsets), bool)
    mask[dead_indices(letters, offsets, lambda i: messages[i].timestamp()[1])] = True
    return mask


class Reader:
    """Iterates over a topic up to the end that a read_committed reader sees. Yields a partition and its messages.

    :param starts: the offset to begin at in each partition; partitions that aren't in it are read from the beginning
    :raises KafkaUnavailable: the brokers don't answer
    :raises KafkaError: the topic doesn't exist or can't be read
    """

    def __init__(self, settings: Settings, topic: str, starts: Mapping[Partition, int] | None = None) -> None:
        self._servers = settings.kafka_bootstrap_servers
        self._consumer = Consumer(
            settings.kafka_config(
                **{
                    **one_read(f"audit-{uuid.uuid4().hex}"),
                    "queued.max.messages.kbytes": 65_536,
                }
            ),
            logger=log,
        )
        try:
            partitions = self._consumer.list_topics(topic, timeout=20).topics[topic]
            if partitions.error is not None:
                raise KafkaError(f"topic {topic} can't be read: {partitions.error}; run the DAG start_kafka")
            assigned = [TopicPartition(topic, number, OFFSET_BEGINNING) for number in sorted(partitions.partitions)]
            self.bounds = {
                Partition(topic, place.partition): self._consumer.get_watermark_offsets(place, timeout=20)
                for place in assigned
            }
            for place in assigned:
                first, last = self.bounds[Partition(topic, place.partition)]
                start = (starts or {}).get(Partition(topic, place.partition), 0)
                if first < start <= last:
                    place.offset = start
                    self.bounds[Partition(topic, place.partition)] = (start, last)
        except KafkaException as error:
            self._consumer.close()
            raise KafkaUnavailable(f"Kafka at {self._servers} doesn't answer about topic {topic}: {error}") from error
        self._consumer.assign(assigned)
        self._heard = time.monotonic()

    def __iter__(self) -> Iterator[tuple[Partition, list[Message]]]:
        unread = set(self.bounds)
        try:
            while unread:
                messages = self._consumer.consume(_POLL_RECORDS, 0.2)
                if messages:
                    self._heard = time.monotonic()
                elif time.monotonic() - self._heard > _SILENCE_SECONDS:
                    raise KafkaUnavailable(
                        f"no answer from Kafka at {self._servers} about {', '.join(map(str, sorted(unread)))} for"
                        f" {_SILENCE_SECONDS:.0f} s: are the brokers running?"
                    )
                yield from self._messages_by_partition(messages, unread).items()
        finally:
            self._consumer.close()

    def _messages_by_partition(self, messages: list[Message], unread: set[Partition]) -> dict[Partition, list[Message]]:
        """The messages by partition. Messages of partitions that have been read to their end before are omitted."""
        by_partition: dict[Partition, list[Message]] = defaultdict(list)
        for message in messages:
            partition = Partition(message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                if partition in unread:
                    by_partition[partition].append(message)
            elif error.code() == Code._PARTITION_EOF:
                if partition in unread:
                    unread.remove(partition)
                    self.bounds[partition] = (self.bounds[partition][0], int(message.offset() or 0))
            elif not error.retriable():
                raise KafkaError(f"reading {partition}: {error}")
        return by_partition
