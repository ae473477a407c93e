"""Waiting for brokers and schema registry, and registering the schemas of the topics' values."""

import logging
import time

from confluent_kafka.admin import AdminClient

from fraudstream.errors import KafkaError, KafkaUnavailable, SchemaRegistryError
from fraudstream.kafka.avro.codec import schema_text
from fraudstream.kafka.avro.registry import Registry
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.topic.definitions import SCHEMA_FILES
from fraudstream.settings import Settings

log = logging.getLogger(__name__)


def wait_for_brokers(settings: Settings, *, seconds: float = 120) -> int:
    """Waits until as many brokers answer as the replication factor needs, and returns their number.

    A refused login is retried, too: brokers that start for the first time don't know their users yet.

    :raises KafkaRefused: the brokers still refuse the login after `seconds`
    :raises KafkaUnavailable: too few of them answer within `seconds`
    """
    connection = Connection(settings)
    admin = AdminClient(settings.kafka_config(**{"log_level": 0, "error_cb": connection.on_error}))
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
