"""Dead letters: what can't be decoded or validated, kept whole with the place it came from."""

import logging

from confluent_kafka import KafkaException, Message, Producer

from fraudstream.errors import KafkaError
from fraudstream.kafka.cluster import dead_letter_topic
from fraudstream.kafka.records import Partition
from fraudstream.settings import Settings

log = logging.getLogger(__name__)


class DeadLetters:
    """Producer to `<topic>.dead_letter`; the headers topic, partition, offset and reason say where and why.

    A letter counts as sent when :meth:`flush` returned. After a crash one may be there twice, with the same headers.
    """

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(settings.kafka_config(**{"acks": "all", "enable.idempotence": True}))
        self._failed: list[str] = []

    def put(self, partition: Partition, offset: int, message: Message, reason: str) -> None:
        """Takes a record as it was on its topic; logs where it lay and why it is no good."""
        log.warning("%s offset %d goes to %s: %s", partition, offset, dead_letter_topic(partition.topic), reason)
        headers = {"topic": partition.topic, "partition": str(partition.number), "offset": str(offset)}
        self._producer.produce(
            dead_letter_topic(partition.topic),
            key=message.key(),
            value=message.value(),
            headers=headers | {"reason": reason[:2000]},
            on_delivery=self._delivered,
        )

    def flush(self) -> None:
        """Waits until the brokers have every letter.

        :raises KafkaError: they don't have one; its record must not count as done
        """
        left = self._producer.flush(60)
        if left or self._failed:
            reasons = "; ".join(self._failed) or f"{left} without an answer after 60 s"
            raise KafkaError(f"dead letters couldn't be written: {reasons}")

    def _delivered(self, error: KafkaException | None, message: Message) -> None:
        if error is not None:
            self._failed.append(f"{message.topic()}: {error}")
