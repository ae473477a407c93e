"""Sends invalid records to the dead-letter topics."""

import logging

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Message, Producer

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.client.queueing import queue
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_SECONDS = 60


class DeadLetters:
    """Producer to the topics `<topic>.dead_letter`.

    A letter counts as sent when :meth:`flush` has returned. The letter of a record that is too large for the
    dead-letter topic is truncated and says so.
    """

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._producer = Producer(
            settings.producer_config(
                **{
                    "enable.idempotence": True,
                    "client.id": "fraudstream-dead-letters",
                    "error_cb": self._connection.on_error,
                }
            )
        )
        self._failed: list[KafkaError] = []

    def put(self, letter: DeadLetter) -> None:
        """Queues a letter and logs its partition, offset and reason.

        :raises KafkaError: the client failed, or its queue is full because the brokers confirm no letters; a new run
            writes the letter
        """
        log.warning("%s goes to %s: %s", letter, dead_letter_topic(letter.partition.topic), letter.reason)
        message = letter.to_message()
        try:
            queue(self._producer, seconds=_SECONDS, **message, on_delivery=self._delivered)
        except KafkaException as error:
            raise self._connection.error(error, doing=f"writing a dead letter to {message['topic']}") from error

    def flush(self) -> None:
        """Waits until the brokers have confirmed every letter.

        :raises KafkaError: a letter wasn't confirmed; its record must not count as processed
        """
        left = self._producer.flush(_SECONDS)
        if left or self._failed:
            if self._failed:
                raise self._failed[0]
            raise KafkaUnavailable(
                f"{left} dead letters are without an answer after {_SECONDS} s; a new run writes them again"
            )

    def _delivered(self, error: Code | None, message: Message) -> None:
        if error is not None:
            self._failed.append(self._connection.error(error, doing=f"writing a dead letter to {message.topic()}"))
