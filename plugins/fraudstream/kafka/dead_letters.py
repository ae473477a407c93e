"""Dead letters: what can't be decoded or validated, kept whole with the place it came from."""

import logging

from confluent_kafka import KafkaError as Code
from confluent_kafka import Message, Producer

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.connection import Connection
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topics import dead_letter_topic
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

#: Bytes of a letter's key and value: with headers and framing, less than clients and brokers take by default (1 MB).
_KEY_BYTES, _VALUE_BYTES = 50_000, 900_000


class DeadLetters:
    """Producer to `<topic>.dead_letter`; the headers topic, partition, offset and reason say where and why.

    A letter counts as sent when :meth:`flush` returned. After a crash one may be there twice, with the same headers.
    Of a record so large that the dead-letter topic might refuse it, the letter has the beginning; a header `cut` then
    says how long key and value are where the record lies.
    """

    def __init__(self, settings: Settings) -> None:
        self._connection = Connection(settings)
        self._producer = Producer(
            settings.producer_config(
                **{
                    "enable.idempotence": True,
                    "client.id": "fraudstream-dead-letters",
                    "error_cb": self._connection.hear,
                }
            )
        )
        self._failed: list[KafkaError] = []

    def put(self, partition: Partition, offset: int, key: bytes | None, value: bytes | None, reason: str) -> None:
        """Takes a record as it was on its topic; logs where it lay and why it is no good."""
        log.warning("%s offset %d goes to %s: %s", partition, offset, dead_letter_topic(partition.topic), reason)
        headers = {"topic": partition.topic, "partition": str(partition.number), "offset": str(offset)}
        if len(key or b"") > _KEY_BYTES or len(value or b"") > _VALUE_BYTES:
            headers["cut"] = f"key of {len(key or b'')} bytes, value of {len(value or b'')} bytes"
        self._producer.produce(
            dead_letter_topic(partition.topic),
            key=None if key is None else key[:_KEY_BYTES],
            value=None if value is None else value[:_VALUE_BYTES],
            headers=headers | {"reason": reason[:2000]},
            on_delivery=self._delivered,
        )

    def flush(self) -> None:
        """Waits until the brokers have every letter.

        :raises KafkaError: they don't have one; its record must not count as done
        """
        left = self._producer.flush(60)
        if left or self._failed:
            if self._failed:
                raise self._failed[0]
            raise KafkaUnavailable(f"{left} dead letters are without an answer after 60 s; a new run writes them again")

    def _delivered(self, error: Code | None, message: Message) -> None:
        if error is not None:
            self._failed.append(self._connection.error(error, doing=f"writing a dead letter to {message.topic()}"))
