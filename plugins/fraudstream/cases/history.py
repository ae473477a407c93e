"""All that the topics hold of one case: its transaction, its answers and its events, each in log order."""

from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Message

from fraudstream.cases.answers.order import in_log_order, place_of
from fraudstream.cases.answers.staff import counting
from fraudstream.cases.events import CaseEvent
from fraudstream.cases.views.case_views import Answer
from fraudstream.errors import RecordError, UnknownCase
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.kafka.topic.whole_topic import records
from fraudstream.settings import Settings


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """What happened to a case; money in minor units, times as datetime in UTC."""

    transaction: dict[str, Any]
    answers: list[Answer] = field(default_factory=list)
    events: list[CaseEvent] = field(default_factory=list)

    @property
    def outcome(self) -> Answer | None:
        """The answer that counts: the last staff decision, otherwise the first answer."""
        place = counting(answer.record["channel"] for answer in self.answers)
        return None if place is None else self.answers[place]


def read_history(settings: Settings, id_transaction: str) -> CaseHistory:
    """Reads the three topics and keeps the records of one case. This takes some seconds for a million records.

    :raises UnknownCase: no fraud transaction has this id
    :raises KafkaError, SchemaRegistryError: a topic can't be read
    """
    transactions = _of_case(settings, FRAUD_TRANSACTION, id_transaction)
    if not transactions:
        raise UnknownCase(f"no record of topic {FRAUD_TRANSACTION} has idTransaction {id_transaction!r}")
    answers = [_answer(record, message) for record, message in _of_case(settings, FRAUD_CONFIRMATION, id_transaction)]
    events = [CaseEvent.of(record) for record, _ in _of_case(settings, CASE_EVENT, id_transaction)]
    return CaseHistory(transactions[0][0], answers, events)


def _answer(record: dict[str, Any], message: Message) -> Answer:
    place = message.partition() or 0, message.offset() or 0
    return Answer(record["idTransaction"], record["status"], record["answeredAt"], *place, record)


def _of_case(settings: Settings, topic: str, id_transaction: str) -> list[tuple[dict[str, Any], Message]]:
    """Returns the valid records of a case on one topic, in log order."""
    codec = Codec.for_topic(topic, settings)
    found = []
    # the key of a transaction is its account
    key = None if topic == FRAUD_TRANSACTION else id_transaction.encode()
    for message in records(settings, topic):
        if key is not None and message.key() != key:
            continue
        value = message.value()
        if value is None or id_transaction.encode() not in value:
            continue
        try:
            record = codec.decode(value)
        except RecordError:
            continue  # a dead letter
        if record["idTransaction"] == id_transaction:
            found.append((record, message))
    return in_log_order(found, lambda pair: place_of(pair[1]))
