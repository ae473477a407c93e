"""Cases and answers in memory: the confirmation site's view of Kafka, with a way to make Kafka fail."""

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fraudstream.cases.answers.publisher import DecidedBy, Place, Status, channel_of
from fraudstream.cases.answers.staff import is_staff_decision
from fraudstream.cases.views.case_views import Answer
from fraudstream.cases.views.first_value_store import FirstValues, Read
from fraudstream.errors import KafkaError

PARTITION = 0


def transaction(case: str = "case-1", **changes: Any) -> dict[str, Any]:
    """A fraud as the topic's codec decodes it."""
    return {
        "idTransaction": case,
        "timestamp": datetime(2023, 10, 4, 14, 0, tzinfo=UTC),
        "step": 86,
        "type": "TRANSFER",
        "amount": 18_198_343,
        "nameOrig": "C1231006815",
        "oldbalanceOrg": 18_198_343,
        "newbalanceOrig": 0,
        "nameDest": "C553264065",
        "oldbalanceDest": 0,
        "newbalanceDest": 0,
        "isFraud": 1,
        "isFlaggedFraud": 0,
    } | changes


def answered(
    record: dict[str, Any], status: Status, answered_at: datetime | int, decided: DecidedBy | None = None
) -> dict[str, Any]:
    """An answer to a fraud, with its channel, as the topic's codec encodes it."""
    return {**record, "status": status, "answeredAt": answered_at, **channel_of(status, decided)}


class FakeCases(FirstValues[dict[str, Any]]):
    """The view of cases."""

    alive = True
    caught_up = True

    def add(self, record: dict[str, Any]) -> dict[str, Any]:
        self.advance([Read(record["idTransaction"], 0, record)], {})
        return record


class FakeAnswers(FirstValues[Answer]):
    """The topic of answers with one partition, its publisher, and the view of answers.

    `refuse` is an error that publishing raises instead of writing. While `reading` is False, new answers aren't seen.
    """

    alive = True
    caught_up = True

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Answer] = []
        self.refuse: KafkaError | None = None
        self.reading = True
        self._appending = threading.Lock()

    async def publish(
        self, status: Status, transaction: Mapping[str, Any], answered_at: datetime, decided: DecidedBy | None = None
    ) -> Place:
        if self.refuse is not None:
            raise self.refuse
        return PARTITION, self.append(status, dict(transaction), answered_at, decided).offset

    async def check(self) -> None:
        if self.refuse is not None:
            raise self.refuse

    def append(
        self, status: Status, transaction: dict[str, Any], answered_at: datetime, decided: DecidedBy | None = None
    ) -> Answer:
        """Writes an answer of another visitor, another site or the sensor's time limit."""
        with self._appending:
            case = transaction["idTransaction"]
            record = answered(transaction, status, answered_at, decided)
            answer = Answer(case, status, answered_at, PARTITION, len(self.log), record)
            self.log.append(answer)
            if self.reading:
                read = Read(case, 0, answer, PARTITION, answer.offset, is_staff_decision(record))
                self.advance([read], {PARTITION: answer.offset + 1})
            return answer
