"""Reads the states of the cases of the last days from the topics."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from fraudstream.cases.answers.order import Place, in_log_order, place_of
from fraudstream.cases.answers.staff import STAFF
from fraudstream.cases.events import (
    ALERTED,
    ESCALATED,
    MAIL_RESENT,
    NOTICE_ACCEPTED,
    REMINDED,
    UNDELIVERED,
    CaseEvent,
)
from fraudstream.errors import RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Batch, Partition
from fraudstream.kafka.topic.whole_topic import records
from fraudstream.settings import Settings

#: Cause of an escalation: the notice failed, bounced or was suppressed, or no mail server has accepted it in time.
NOT_REACHED = "not_reached"
#: Cause of an escalation: answers differ, and no staff decision came after them.
DISAGREEMENT = "disagreement"


@dataclass(slots=True)
class CaseState:
    """The state of one case, to which answers and events are added in log order."""

    id: str
    #: The append time of its record.
    came_at: datetime
    #: The record as a batch of one row, from which reminders are written.
    record: Batch
    #: When a mail server accepted the first notice.
    accepted_at: datetime | None = None
    #: The last event that says that the notice didn't reach its customer; None once it was sent again.
    undelivered: CaseEvent | None = None
    #: When the notice was last sent again.
    resent_at: datetime | None = None
    #: Statuses of answers since the last staff decision, that decision first.
    statuses: list[str] = field(default_factory=list)
    #: When the last staff decision was made.
    decided_at: datetime | None = None
    #: The largest share of the time limit after which the customer was reminded.
    reminded: float = 0.0
    #: Causes for which the case was escalated, and causes that a mail reported to people.
    escalated: set[str] = field(default_factory=set)
    alerted: set[str] = field(default_factory=set)

    @property
    def open(self) -> bool:
        """Whether the case has no answer yet."""
        return not self.statuses

    def answered(self, status: str, channel: str | None, at: datetime) -> None:
        """Adds an answer. NO_RESPONSE is ignored if the case was answered or decided before."""
        if status == "NO_RESPONSE" and self.statuses:
            return
        if channel == STAFF:
            self.statuses, self.decided_at = [], at
        self.statuses.append(status)

    def happened(self, event: CaseEvent) -> None:
        """Adds an event."""
        if event.event_type == NOTICE_ACCEPTED:
            self.accepted_at = self.accepted_at or event.at
        elif event.event_type == MAIL_RESENT:
            self.undelivered, self.resent_at = None, event.at
            self._reset_not_reached()
        elif event.event_type in UNDELIVERED and event.details.get("kind") == "fraud_notice":
            if self.undelivered is None and self.resent_at is not None:
                # a check may have escalated the previous notice while this one was being sent
                self._reset_not_reached()
            self.undelivered = event
        elif event.event_type == REMINDED:
            self.reminded = max(self.reminded, _share(event))
        elif event.event_type in {ESCALATED, ALERTED}:
            cause = str(event.details.get("cause"))
            # A disagreement that a staff decision has settled since isn't the one of later answers.
            if cause != DISAGREEMENT or self.decided_at is None or event.at > self.decided_at:
                (self.escalated if event.event_type == ESCALATED else self.alerted).add(cause)

    def _reset_not_reached(self) -> None:
        """Forgets escalations of earlier notices: a notice that was sent again is escalated separately."""
        self.escalated.discard(NOT_REACHED)
        self.alerted.discard(NOT_REACHED)


def _share(event: CaseEvent) -> float:
    """Returns the share of the time limit after which a reminder was sent; 0 if the event has no valid share."""
    share = event.details.get("share")
    return float(share) if isinstance(share, int | float) and 0 <= share <= 1 else 0.0


def read_states(settings: Settings, since: datetime) -> dict[str, CaseState]:
    """Returns the cases whose records came at or after a time, by id.

    Answers and events come after their case, so reading them from the same time misses none. The cases are read last,
    so that the case of each answer is read, too.

    :raises KafkaError, SchemaRegistryError: a topic can't be read
    """
    answers = list(_decoded(settings, FRAUD_CONFIRMATION, since))
    events = list(_decoded(settings, CASE_EVENT, since))
    cases: dict[str, CaseState] = {}
    codec = Codec.for_topic(FRAUD_TRANSACTION, settings)
    for message in records(settings, FRAUD_TRANSACTION, since):
        rows, bad = codec.decode_rows(pa.array([message.value()], pa.binary()))
        if not bad:
            made = _state(rows, message)
            cases.setdefault(made.id, made)
    for record, _ in in_log_order(answers, _place, _case):
        if record["idTransaction"] in cases:
            cases[record["idTransaction"]].answered(record["status"], record["channel"], record["answeredAt"])
    for record, _ in in_log_order(events, _place, _case):
        if record["idTransaction"] in cases:
            cases[record["idTransaction"]].happened(CaseEvent.of(record))
    return cases


def _state(rows: pa.RecordBatch, message: Message) -> CaseState:
    partition, offset = Partition(FRAUD_TRANSACTION, message.partition() or 0), int(message.offset() or 0)
    timestamp = int(message.timestamp()[1])
    batch = Batch(partition, np.array([offset]), np.array([timestamp]), rows, offset + 1)
    return CaseState(rows["idTransaction"][0].as_py(), datetime.fromtimestamp(timestamp / 1000, UTC), batch)


def _place(pair: tuple[dict[str, Any], Message]) -> Place:
    return place_of(pair[1])


def _case(pair: tuple[dict[str, Any], Message]) -> str:
    return str(pair[0]["idTransaction"])


def _decoded(settings: Settings, topic: str, since: datetime) -> Iterator[tuple[dict[str, Any], Message]]:
    codec = Codec.for_topic(topic, settings)
    for message in records(settings, topic, since):
        try:
            yield codec.decode(message.value()), message
        except RecordError:
            continue  # a dead letter
