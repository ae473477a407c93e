"""Sending invalid records to the dead-letter topics."""

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

    A letter counts as sent when :meth:`flush` returned. Of a record so large that the dead-letter topic might refuse
    it, the letter has the beginning and says so.
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
        """Takes a record as it was on its topic; logs where it lay and why it is no good.

        :raises KafkaError: the client has ended, or is full of letters that the brokers don't take; a new run writes it
        """
        log.warning("%s goes to %s: %s", letter, dead_letter_topic(letter.partition.topic), letter.reason)
        message = letter.to_message()
        try:
            queue(self._producer, seconds=_SECONDS, **message, on_delivery=self._delivered)
        except KafkaException as error:
            raise self._connection.error(error, doing=f"writing a dead letter to {message['topic']}") from error

    def flush(self) -> None:
        """Waits until the brokers have every letter.

        :raises KafkaError: they don't have one; its record must not count as done
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
