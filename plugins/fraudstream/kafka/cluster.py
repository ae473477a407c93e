"""Topics of the pipeline, and waiting for the brokers that hold them."""

import logging
import time
from dataclasses import dataclass, field

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from fraudstream.errors import KafkaError, KafkaUnavailable, SchemaRegistryError
from fraudstream.kafka.codec import SCHEMA_FILES, schema_text
from fraudstream.kafka.connection import Connection
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    INGEST_PROGRESS,
    MAIL_RETRY,
    MAIL_RETRY_WAITS,
    NON_FRAUD_TRANSACTION,
)
from fraudstream.kafka.registry import Registry
from fraudstream.settings import Settings

log = logging.getLogger(__name__)


def dead_letter_topic(topic: str) -> str:
    """Where what can't be decoded or validated of a topic goes."""
    return f"{topic}.dead_letter"


@dataclass(frozen=True)
class Topic:
    """A topic to create: `partitions` 0 stands for the setting kafka_partitions."""

    name: str
    partitions: int = 0
    #: Kept for ever: Kafka is the one source of truth, lake, mail and sensors are projections of it.
    config: dict[str, str] = field(default_factory=lambda: {"retention.ms": "-1"})


TOPICS = (
    Topic(NON_FRAUD_TRANSACTION),
    Topic(FRAUD_TRANSACTION),
    Topic(FRAUD_CONFIRMATION),
    Topic(CASE_EVENT),
    # A mail is tried for a day or so; what became of it lies in the mail log.
    Topic(MAIL_RETRY, partitions=len(MAIL_RETRY_WAITS), config={"retention.ms": str(7 * 24 * 3600 * 1000)}),
    Topic(INGEST_PROGRESS, partitions=1, config={"cleanup.policy": "compact"}),
    *(
        Topic(name, partitions=1)
        for name in (
            INGEST_DEAD_LETTER,
            dead_letter_topic(NON_FRAUD_TRANSACTION),
            dead_letter_topic(FRAUD_TRANSACTION),
            dead_letter_topic(FRAUD_CONFIRMATION),
            dead_letter_topic(CASE_EVENT),
            dead_letter_topic(MAIL_RETRY),
        )
    ),
)


def wait_for_brokers(settings: Settings, *, seconds: float = 120) -> int:
    """Waits until as many brokers answer as the replication needs; returns how many do.

    A login that is refused is waited for too: brokers that start for the first time don't know their users yet.

    :raises KafkaRefused: they still don't let us in after `seconds`
    :raises KafkaUnavailable: too few of them answer within `seconds`
    """
    connection = Connection(settings)
    admin = AdminClient(settings.kafka_config(**{"log_level": 0, "error_cb": connection.hear}))
    until = time.monotonic() + seconds
    while True:
        problem: KafkaError
        try:
            found = len(connection.open(admin, seconds=min(5.0, seconds)).brokers)
        except KafkaError as error:
            problem = error
        else:
            if found >= settings.kafka_replication_factor:
                return found
            problem = KafkaUnavailable(
                f"{found} of {settings.kafka_replication_factor} brokers answer at {settings.kafka_bootstrap_servers} "
                f"(FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS). Are the others running?"
            )
        if time.monotonic() >= until:
            raise problem
        log.info("waiting for Kafka: %s", problem)
        time.sleep(1)


def create_topics(settings: Settings) -> list[str]:
    """Creates the topics that are missing and returns their names; those that exist stay as they are.

    :raises KafkaError: the brokers don't answer or refuse one
    """
    connection = Connection(settings)
    admin = AdminClient(settings.kafka_config(error_cb=connection.hear))
    connection.open(admin)
    replication = settings.kafka_replication_factor
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions or settings.kafka_partitions,
            replication_factor=replication,
            config=topic.config | {"min.insync.replicas": str(min(2, replication))},
        )
        for topic in TOPICS
    ]
    created = []
    for name, future in admin.create_topics(wanted, operation_timeout=30).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != Code.TOPIC_ALREADY_EXISTS:
                raise connection.error(error, doing=f"creating topic {name}") from error
        else:
            created.append(name)
    log.info("topics created: %s; already there: %d", ", ".join(created) or "none", len(TOPICS) - len(created))
    return created


def register_schemas(settings: Settings, *, seconds: float = 120) -> dict[str, int]:
    """Registers the schema of each topic's values and returns the ids by topic.

    :raises SchemaRegistryError: the registry doesn't answer within `seconds` or refuses a schema
    """
    registry = Registry(settings)
    until = time.monotonic() + seconds
    identifiers: dict[str, int] = {}
    for topic in SCHEMA_FILES:
        while topic not in identifiers:
            try:
                identifiers[topic] = registry.register(topic, schema_text(topic))
            except SchemaRegistryError as error:
                if time.monotonic() > until:
                    raise
                log.info("waiting for the schema registry: %s", error)
                time.sleep(2)
    log.info("schema ids: %s", identifiers)
    return identifiers
