"""Fraud notices that didn't reach their customers, by the events of their mails."""

from collections import Counter
from collections.abc import Iterable

from fraudstream.cases.events import MAIL_BOUNCED, MAIL_FAILED, MAIL_RESENT, MAIL_SUPPRESSED, UNDELIVERED, CaseEvent
from fraudstream.errors import RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import CASE_EVENT
from fraudstream.kafka.topic.whole_topic import records
from fraudstream.settings import Settings

#: What a count is called, by the event that it counts.
NAMES = {MAIL_FAILED: "failed", MAIL_BOUNCED: "bounced", MAIL_SUPPRESSED: "suppressed"}


def undelivered(events: Iterable[CaseEvent]) -> dict[str, int]:
    """Cases whose notice failed, bounced or was suppressed, each counted once, with its last such event.

    A case whose notice was sent anew since isn't counted: it may have arrived.

    :param events: in the order of the log for each case
    """
    last: dict[str, str] = {}
    for event in events:
        if event.event_type == MAIL_RESENT:
            last.pop(event.id_transaction, None)
        elif event.event_type in UNDELIVERED and event.details.get("kind") == "fraud_notice":
            last[event.id_transaction] = event.event_type
    counts = Counter(last.values())
    return {name: counts[event_type] for event_type, name in NAMES.items()}


def read_undelivered(settings: Settings) -> dict[str, int]:
    """:func:`undelivered` of all events there are.

    :raises KafkaError, SchemaRegistryError: the topic can't be read
    """
    codec = Codec.for_topic(CASE_EVENT, settings)
    events = []
    for message in records(settings, CASE_EVENT):
        try:
            events.append(CaseEvent.of(codec.decode(message.value())))
        except RecordError:
            continue  # a dead letter, counted as such
    return undelivered(events)
