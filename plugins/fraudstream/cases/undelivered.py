"""Finds fraud notices that didn't reach their customers, in the events of their cases."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from fraudstream.cases.answers.order import Place, in_log_order, place_of
from fraudstream.cases.events import (
    MAIL_BOUNCED,
    MAIL_FAILED,
    MAIL_RESENT,
    MAIL_SUPPRESSED,
    NOTICE_ACCEPTED,
    UNDELIVERED,
    CaseEvent,
)
from fraudstream.errors import RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import CASE_EVENT, Partition
from fraudstream.kafka.topic.whole_topic import records
from fraudstream.settings import Settings

#: The name of a count, by the type of the events that it counts.
NAMES = {MAIL_FAILED: "failed", MAIL_BOUNCED: "bounced", MAIL_SUPPRESSED: "suppressed"}


class PlacedEvent(NamedTuple):
    """An event with the partition and the offset of its record."""

    event: CaseEvent
    partition: Partition
    offset: int


@dataclass(frozen=True, slots=True)
class UndeliveredNotices:
    """The last event of each case whose notice didn't reach its customer, and each partition's next offset."""

    events: tuple[PlacedEvent, ...] = ()
    ends: Mapping[Partition, int] = field(default_factory=dict)
    #: When the first notice of each case was accepted by a mail server.
    accepted: Mapping[str, datetime] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """The numbers of notices that failed, bounced and were suppressed."""
        counts = Counter(placed.event.event_type for placed in self.events)
        return {name: counts[event_type] for event_type, name in NAMES.items()}


def undelivered(events: Iterable[PlacedEvent]) -> UndeliveredNotices:
    """Cases whose notice failed, bounced or was suppressed, each once, with its last such event.

    A case whose notice was sent again since is not counted: the notice may have arrived.

    :param events: in log order for each case
    """
    last: dict[str, PlacedEvent] = {}
    ends: dict[Partition, int] = {}
    accepted: dict[str, datetime] = {}
    for placed in events:
        event = placed.event
        ends[placed.partition] = max(ends.get(placed.partition, 0), placed.offset + 1)
        if event.event_type == NOTICE_ACCEPTED:
            accepted.setdefault(event.id_transaction, event.at)
        elif event.event_type == MAIL_RESENT:
            last.pop(event.id_transaction, None)
        elif event.event_type in UNDELIVERED and event.details.get("kind") == "fraud_notice":
            last[event.id_transaction] = placed
    return UndeliveredNotices(tuple(last.values()), ends, accepted)


def read_undelivered(settings: Settings) -> UndeliveredNotices:
    """As :func:`undelivered`, for all events of the topic.

    :raises KafkaError, SchemaRegistryError: the topic can't be read
    """
    codec = Codec.for_topic(CASE_EVENT, settings)
    events: list[tuple[Place, PlacedEvent]] = []
    for message in records(settings, CASE_EVENT):
        try:
            event = CaseEvent.of(codec.decode(message.value()))
        except RecordError:
            continue  # a dead letter, counted as such
        placed = PlacedEvent(event, Partition(CASE_EVENT, message.partition() or 0), message.offset() or 0)
        events.append((place_of(message), placed))
    ordered = in_log_order(events, lambda pair: pair[0], lambda pair: pair[1].event.id_transaction)
    return undelivered(placed for _, placed in ordered)
