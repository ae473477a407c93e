"""Checks whether a topic is the one that was read before, by its id (KIP-516) and the offsets of its partitions.

A topic that is deleted and created again under the same name has another id. A topic that is truncated or restored with
the brokers' disks ends before offsets that its readers know.
"""

import logging

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ListOffsetsResultInfo, OffsetSpec

from fraudstream.errors import KafkaUnavailable, TopicChanged
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import Partition
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_SECONDS = 30


class Topics:
    """The present state of topics. Each method asks the brokers.

    :raises KafkaUnavailable: from every method, if the brokers don't answer
    :raises KafkaError: from every method, if the topic doesn't exist, or the user may not describe it
    """

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._admin = AdminClient(settings.kafka_config(error_cb=self._connection.on_error, log_level=3))
        #: Topics whose leaders the client has asked for.
        self._known: set[str] = set()

    def id(self, topic: str) -> str:
        """The topic's id."""
        asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=_SECONDS)
        try:
            return str(asked[topic].result(_SECONDS).topic_id)
        except (KafkaException, TimeoutError) as error:
            raise self._connection.error(error, doing=f"asking for the id of topic {topic}") from error

    def partitions(self, topic: str) -> list[Partition]:
        """The topic's partitions."""
        found = self._connection.open(self._admin, topic).topics[topic]
        if found.error is not None:
            raise self._connection.error(found.error, doing=f"asking for the partitions of topic {topic}")
        return [Partition(topic, number) for number in sorted(found.partitions)]

    def committed_ends(self, topic: str) -> dict[int, int]:
        """The last stable offset of each partition: the one after the last record that a read_committed reader gets."""
        places = {TopicPartition(*partition): OffsetSpec.latest() for partition in self.partitions(topic)}
        asked = self._admin.list_offsets(
            places, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=_SECONDS
        )
        try:
            return {place.partition: require_offset(answer.result(_SECONDS), place) for place, answer in asked.items()}
        except (KafkaException, TimeoutError) as error:
            raise self._connection.error(error, doing=f"asking for the ends of topic {topic}") from error

    def first_offset(self, partition: Partition) -> int:
        """The first offset that the partition has. Records before it are deleted."""
        return self._offset(partition, OffsetSpec.earliest())

    def end_offset(self, partition: Partition) -> int:
        """The offset after the partition's last record, committed or not."""
        return self._offset(partition, OffsetSpec.latest())

    def _offset(self, partition: Partition, spec: OffsetSpec) -> int:
        place = TopicPartition(*partition)
        if partition.topic not in self._known:  # a client that knows no leader waits 1 to 3 s for one
            self._connection.open(self._admin, partition.topic)
            self._known.add(partition.topic)
        asked = self._admin.list_offsets({place: spec}, request_timeout=_SECONDS)
        try:
            return require_offset(asked[place].result(_SECONDS), place)
        except (KafkaException, TimeoutError) as error:
            raise self._connection.error(error, doing=f"asking for the offsets of {partition}") from error


def require_offset(answer: ListOffsetsResultInfo, place: TopicPartition) -> int:
    """The offset of an answer to list_offsets.

    :raises KafkaUnavailable: the answer has none: if a leader just went away, the client returns -1001 and no error
    """
    if answer.offset < 0:
        raise KafkaUnavailable(
            f"the brokers return no offset of {place.topic}[{place.partition}] (found {answer.offset}): its leader is "
            f"changing, or too few brokers run"
        )
    return int(answer.offset)


class SameTopic:
    """Checks that a topic isn't recreated while a group reads it."""

    def __init__(self, settings: Settings, topic: str, group: str) -> None:
        self._topic = topic
        self._group = group
        self._topics = Topics(settings)
        self._id = self._topics.id(topic)

    def require_unchanged(self) -> None:
        """Compares the topic's id with the one at the start.

        :raises TopicChanged: the topic was recreated
        """
        now = self._topics.id(self._topic)
        if now != self._id:
            raise TopicChanged(
                self._topic,
                f"topic {self._topic} was recreated while group {self._group} read it: its id was {self._id} and is "
                f"{now}",
            )


def first_available(consumer: Consumer, connection: Connection, partition: Partition, start: int, group: str) -> int:
    """The first offset at or after `start` that the partition has. Deleted offsets between the two are logged.

    :raises TopicChanged: the partition ends before `start`
    :raises KafkaUnavailable: the brokers don't answer
    """
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition(*partition), timeout=_SECONDS)
    except KafkaException as error:
        raise connection.error(error, doing=f"asking for the offsets of {partition}") from error
    if start > end:
        raise TopicChanged(
            partition.topic,
            f"{partition}: group {group} is at offset {start}, but the partition's records are from {first} to {end}: "
            f"it was truncated, restored or recreated",
        )
    if not 0 <= start < first:
        return start
    log.error(
        "%s: up to %d records that group %s never read are deleted, offsets %d to %d: retention or "
        "DeleteRecords deleted them. The group continues at %d; check retention.ms and retention.bytes of the topic",
        partition,
        first - start,
        group,
        start,
        first - 1,
        first,
    )
    return int(first)
