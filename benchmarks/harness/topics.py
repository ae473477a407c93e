"""Creates, deletes and reads topics of the benchmarks' stack."""

from collections.abc import Iterator, Mapping

import pyarrow as pa
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic
from fraudstream.errors import KafkaError
from fraudstream.settings import Settings

from local.topics import admin_client, decoded, partitions, reader, records

#: More transaction markers than a partition has after its last record.
_MARKERS = 1_000


def settings_of(environment: Mapping[str, str]) -> Settings:
    """Settings for the stack of an environment."""
    return Settings(
        kafka_bootstrap_servers=environment["FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS"],
        schema_registry_url=environment["FRAUDSTREAM_SCHEMA_REGISTRY_URL"],
        lake_bucket=environment["FRAUDSTREAM_LAKE_BUCKET"],
    )


def create(environment: Mapping[str, str], names: list[str]) -> None:
    """Creates topics with the pipeline's numbers of partitions and replicas."""
    settings = settings_of(environment)
    wanted = [
        NewTopic(
            name,
            num_partitions=settings.kafka_partitions,
            replication_factor=settings.kafka_replication_factor,
            config={"min.insync.replicas": "2"},
        )
        for name in names
    ]
    admin = admin_client(settings)
    for created in admin.create_topics(wanted).values():
        created.result()


def delete(environment: Mapping[str, str], names: list[str]) -> None:
    """Deletes topics."""
    admin = admin_client(settings_of(environment))
    for deleted in admin.delete_topics(names).values():
        deleted.result()


def committed_ids(environment: Mapping[str, str], topic: str) -> Iterator[pa.Array]:
    """Yields the idTransaction of all committed records of a topic, batch by batch.

    :raises KafkaError: the topic can't be read, or has records that can't be decoded
    """
    settings = settings_of(environment)
    with reader(settings) as consumer:
        for rows, bad in decoded(consumer, settings, topic):
            if bad:
                raise KafkaError(f"topic {topic} has {bad} records that aren't Avro of its schema")
            yield rows.column("idTransaction")


def ends_of_records(settings: Settings, topic: str) -> dict[int, int]:
    """The offset after each partition's last committed record, before the transaction markers that may follow it."""
    with reader(settings) as consumer:
        since = {}
        for number in partitions(consumer, topic):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
            since[number] = max(low, high - _MARKERS)
        ends = dict.fromkeys(since, 0)
        for message in records(consumer, settings, topic, since):
            ends[message.partition()] = message.offset() + 1
        return ends
