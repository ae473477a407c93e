"""Events of cases: what happens to a case besides its customer's answer, on topic case_event."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.avro.valid_records import storable
from fraudstream.kafka.client.confirmed_producer import ConfirmedProducer, Outgoing
from fraudstream.kafka.records import CASE_EVENT
from fraudstream.settings import Settings

#: The mail server refused a mail permanently, or it was tried for too long.
MAIL_FAILED = "MAIL_FAILED"
#: A mail wasn't sent: safe mode, or the customer directory has no valid entry for the account.
MAIL_SUPPRESSED = "MAIL_SUPPRESSED"
#: A mail server accepted a mail, which was returned later.
MAIL_BOUNCED = "MAIL_BOUNCED"
#: The recipient reported a mail as spam.
MAIL_COMPLAINED = "MAIL_COMPLAINED"
#: A person sent a mail again.
MAIL_RESENT = "MAIL_RESENT"
#: The mail server accepted a fraud notice, which is not a reminder; details: messageId. The first one of a case starts
#: its customer's time limit.
NOTICE_ACCEPTED = "NOTICE_ACCEPTED"
#: The confirmation site showed the case's page: to the customer, or to a program that follows the links of mails.
PAGE_OPENED = "PAGE_OPENED"
#: A reminder was handed to the mail queue; details: share (of the time limit), messageId.
REMINDED = "REMINDED"
#: People have to look at the case; reason says why, details: cause (not_reached, no_answer, disagreement).
ESCALATED = "ESCALATED"
#: A mail told people of an escalation; details: cause.
ALERTED = "ALERTED"
#: A person's remark; reason is its text.
NOTE = "NOTE"
#: The case is assigned to a person; details: assignee (empty: to nobody).
ASSIGNED = "ASSIGNED"
#: Four eyes: a person asks another one to confirm a decision; reason is the decision's, details: request, outcome.
DECISION_REQUESTED = "DECISION_REQUESTED"
#: Four eyes: another person confirmed the decision, which is on fraud_confirmation; details: request, outcome,
#: requestedBy.
DECISION_CONFIRMED = "DECISION_CONFIRMED"
#: Events that say that a mail didn't reach its customer.
UNDELIVERED = frozenset({MAIL_FAILED, MAIL_SUPPRESSED, MAIL_BOUNCED})


@dataclass(frozen=True, slots=True)
class CaseEvent:
    """One event; `recipient` is masked with :func:`masked`, `details` can be written as JSON."""

    id_transaction: str
    event_type: str
    by: str
    reason: str = ""
    recipient: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def record(self) -> dict[str, Any]:
        """Returns the event as a record of the schema include/schemas/case_event.avsc."""
        return {
            "idTransaction": self.id_transaction,
            "eventType": self.event_type,
            "at": self.at,
            "by": self.by,
            "reason": storable(self.reason),
            "recipient": self.recipient and storable(self.recipient),
            "details": json.dumps(self.details, sort_keys=True),
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "CaseEvent":
        """Inverse of :meth:`record`."""
        return cls(
            record["idTransaction"],
            record["eventType"],
            record["by"],
            record["reason"],
            record["recipient"],
            json.loads(record["details"]),
            record["at"],
        )


def masked(address: str) -> str:
    """Returns a mail address without most of its local part, such as ``C1***@example.com``."""
    local, at, domain = address.rpartition("@")
    return f"{local[:2]}***{at}{domain}"


class CaseEvents:
    """Producer to case_event, keyed by idTransaction. To be used from one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._codec = Codec.for_topic(CASE_EVENT, settings)
        self._producer = ConfirmedProducer(settings, CASE_EVENT)

    def publish(self, events: Iterable[CaseEvent]) -> None:
        """Writes events; returns once the brokers have acknowledged all of them. A call that failed may be repeated.

        :raises KafkaError: the brokers didn't acknowledge an event
        :raises SchemaRegistryError: the registry doesn't answer at the first use
        """
        self._producer.write(
            Outgoing(event.id_transaction.encode(), self._codec.encode(event.record())) for event in events
        )
