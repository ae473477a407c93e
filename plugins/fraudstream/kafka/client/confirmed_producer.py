"""A producer for a few records at a time, each of them confirmed before the call returns."""

import logging
from collections.abc import Iterable
from typing import NamedTuple

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.client.queueing import queue
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

#: A record that isn't confirmed within this time has failed.
_SECONDS = 30
#: Partition number that lets the key decide the partition.
BY_KEY = -1


class Outgoing(NamedTuple):
    """A record to write; `partition` is :data:`BY_KEY` or a number."""

    key: bytes
    value: bytes
    partition: int = BY_KEY


class ConfirmedProducer:
    """Writes to one topic. To be used from one thread at a time."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._connection = Connection(settings)
        self._failed: list[KafkaError] = []
        self._producer = self._connect()

    def write(self, records: Iterable[Outgoing]) -> None:
        """Writes records and returns when the brokers have confirmed all of them.

        A failed call may have written some of them. It can be repeated.

        :raises KafkaError: a record was refused or not confirmed
        """
        self._failed.clear()
        for record in records:
            try:
                queue(self._producer, self._topic, seconds=_SECONDS, on_delivery=self._delivered, **record._asdict())
            except KafkaException as error:
                if error.args[0].code() == Code._FATAL:
                    # after a fatal error, such as a lost sequence number, an idempotent producer never sends again
                    logger.warning("topic %s: a new producer replaces one that ended: %s", self._topic, error)
                    self._producer = self._connect()
                raise self._error(error) from error
        left = self._producer.flush(_SECONDS)
        if self._failed:
            raise self._failed[0]
        if left:
            raise KafkaUnavailable(f"{left} records for topic {self._topic} are without an answer after {_SECONDS} s")

    def _connect(self) -> Producer:
        return Producer(
            self._settings.producer_config(
                **{
                    "enable.idempotence": True,
                    "delivery.timeout.ms": _SECONDS * 1000,
                    "error_cb": self._connection.on_error,
                }
            ),
            logger=logger,
        )

    def _delivered(self, error: Code | None, message: Message) -> None:
        if error is not None:
            self._failed.append(self._error(error))

    def _error(self, error: KafkaException | Code) -> KafkaError:
        return self._connection.error(error, doing=f"writing to topic {self._topic}")
