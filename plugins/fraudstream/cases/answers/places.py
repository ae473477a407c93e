"""The places of the first answers to all cases, over all partitions of the topic."""

import logging
import time
from typing import Any

from confluent_kafka import Message

from fraudstream.cases.answers.order import Place
from fraudstream.cases.views.first_value_store import Read
from fraudstream.cases.views.topic_view import RETRY_SECONDS, TopicView
from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.dead_letters.invalid_records import KnownDeadLetters, is_dead
from fraudstream.kafka.records import FRAUD_CONFIRMATION, Partition
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.02
#: Longest time without a record.
_LONGEST_SECONDS = 120.0


class AnswerPlaces(TopicView[Place]):
    """The first answer to each case in the whole topic, for consumers that read only some of its partitions.

    Answers that became dead letters are left out: if such an answer is produced again, the new record counts, even if
    the dead letter can be decoded by now.

    Memory: an id and three numbers for each case of the topic. Between answers in two partitions, the brokers' clocks
    decide which is the earlier one.
    """

    topic = FRAUD_CONFIRMATION

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, horizon=None)
        self._topics = Topics(settings)
        self._dead_letters = KnownDeadLetters(settings, self.topic)
        self.start()

    def close(self) -> None:
        """Stops reading the topic and its dead letters."""
        super().close()
        self._dead_letters.close()

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, Place]:
        """A case's id, and the append time, partition and offset of an answer to it."""
        return record["idTransaction"], (message.timestamp()[1], message.partition(), message.offset())

    def _reads(self, messages: list[Message]) -> list[Read[Place]]:
        return super()._reads([message for message in messages if not self._is_dead(message)])

    def _is_dead(self, message: Message) -> bool:
        partition = Partition(self.topic, message.partition() or 0)
        while True:
            try:
                places = self._dead_letters.lately(partition)
                return is_dead(places, message.offset() or 0, message.timestamp()[1])
            except KafkaError as error:
                if not error.retryable or self._stop.wait(RETRY_SECONDS):
                    raise
                logger.warning("the dead letters of topic %s can't be read yet: %s", self.topic, error)

    def catch_up(self) -> None:
        """Returns once all answers that the topic has now are read.

        :raises KafkaUnavailable: no answer was read for two minutes
        :raises KafkaError: the view has ended, or the brokers don't tell where the topic ends
        """
        ends = self._topics.committed_ends(self.topic)
        reached, until = -1, 0.0
        while behind := [number for number, end in ends.items() if self.position(number) < end]:
            now = sum(self.position(number) for number in ends)
            if now != reached:
                reached, until = now, time.monotonic() + _LONGEST_SECONDS
            elif time.monotonic() > until:
                raise KafkaUnavailable(
                    f"partitions {behind} of topic {self.topic} can't be read: nothing came for"
                    f" {_LONGEST_SECONDS:.0f} s"
                )
            time.sleep(_LOOK_SECONDS)

    def first_place(self, case: str) -> Place | None:
        """The place of a case's first answer; None: it has no answer."""
        return self.get(case)
