"""The committed offsets of a consumer group."""

from collections.abc import Iterable
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import Partition
from fraudstream.settings import Settings

_SECONDS = 30


def committed_offsets(
    settings: Settings, group: str, partitions: Iterable[Partition], **config: Any
) -> dict[Partition, int]:
    """The committed offsets of a group by partition. Partitions without a committed offset are omitted.

    The admin client isn't used for this request: librdkafka (2.16, its issue 5040) ends the process if a broker
    answers the request of an admin client while the group's coordinator moves.

    :param config: additional properties of the client
    :raises confluent_kafka.KafkaException: the brokers don't answer or refuse
    """
    consumer = Consumer(
        settings.kafka_config(
            **{"log_level": 3, "group.id": group, "enable.auto.commit": False} | config  # nothing joins the group
        )
    )
    try:
        found = consumer.committed([TopicPartition(*partition) for partition in partitions], timeout=_SECONDS)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return {Partition(place.topic, place.partition): place.offset for place in found if place.offset >= 0}
    finally:
        consumer.close()


def require_committed(
    consumer: Consumer, connection: Connection, partitions: list[TopicPartition], group: str
) -> list[TopicPartition]:
    """The committed offsets of a group, requested by one of its members. An offset below 0 means that there is none.

    :raises KafkaError: the brokers give no answer for a partition; without it the group would start from the
        beginning
    """
    try:
        found: list[TopicPartition] = consumer.committed(partitions, timeout=_SECONDS)
        for entry in found:
            if entry.error is not None:
                raise KafkaException(entry.error)
    except KafkaException as error:
        asked = ", ".join(f"{place.topic}[{place.partition}]" for place in partitions)
        raise connection.error(error, doing=f"asking where group {group} is in {asked}") from error
    return found
