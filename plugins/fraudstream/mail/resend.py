"""Sends fraud notices again: a new mail with new links for the same case."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from fraudstream.cases.answers.decisions import person
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.events import (
    MAIL_BOUNCED,
    MAIL_FAILED,
    MAIL_RESENT,
    MAIL_SUPPRESSED,
    CaseEvent,
    CaseEvents,
    masked,
)
from fraudstream.cases.links.signed import Proposal
from fraudstream.cases.undelivered import read_undelivered
from fraudstream.errors import RecordError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Batch, Partition
from fraudstream.kafka.topic.whole_topic import records
from fraudstream.mail.letter.letters import Letter, LetterWriter
from fraudstream.mail.retries import RetryQueue
from fraudstream.settings import Settings

#: The values of --reason, and the event of each.
REASONS = {"failed": MAIL_FAILED, "suppressed": MAIL_SUPPRESSED, "bounced": MAIL_BOUNCED}


@dataclass(slots=True)
class Cases:
    """All cases.

    `transactions` has the record of each case, `closed` the cases with an outcome, and `undelivered` the event type of
    each case whose last notice didn't reach its customer.
    """

    transactions: dict[str, Batch] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)
    undelivered: dict[str, str] = field(default_factory=dict)
    #: When the first notice of each case was accepted by a mail server.
    accepted: dict[str, datetime] = field(default_factory=dict)

    def chosen(self, ids: Collection[str], reasons: Collection[str], *, every: bool) -> list[str]:
        """Returns the open cases that have one of these ids or whose last notice has one of these reasons.

        :param every: return all open cases
        """
        wanted = {REASONS[reason] for reason in reasons}
        return [
            case
            for case in self.transactions
            if case not in self.closed and (every or case in ids or self.undelivered.get(case) in wanted)
        ]


@dataclass(frozen=True, slots=True)
class Resent:
    """The letters that were (or in a dry run would be) sent again, and the reason of each case that was refused."""

    letters: list[Letter]
    refused: dict[str, str]


def read_cases(settings: Settings) -> Cases:
    """Reads the topics of transactions, answers and events from their beginnings.

    :raises KafkaError, SchemaRegistryError: a topic can't be read
    """
    cases = Cases()
    codec = Codec.for_topic(FRAUD_TRANSACTION, settings)
    for message in records(settings, FRAUD_TRANSACTION):
        rows, bad = codec.decode_rows(pa.array([message.value()], pa.binary()))
        if not bad:
            partition = Partition(FRAUD_TRANSACTION, message.partition() or 0)
            offset = int(message.offset() or 0)
            timestamps = np.array([message.timestamp()[1]])
            batch = Batch(partition, np.array([offset]), timestamps, rows, offset + 1)
            cases.transactions.setdefault(rows["idTransaction"][0].as_py(), batch)
    cases.closed = {record["idTransaction"] for record in _decoded(settings, FRAUD_CONFIRMATION)}
    notices = read_undelivered(settings)
    cases.undelivered = {placed.event.id_transaction: placed.event.event_type for placed in notices.events}
    cases.accepted = dict(notices.accepted)
    return cases


class _NoLinks:
    """A placeholder for links: the letters are not sent from here."""

    def url(self, id_transaction: str, answer: Proposal, language: str = "") -> str:
        """Returns an empty string."""
        return ""


def resend(
    settings: Settings, cases: Cases, chosen: Iterable[str], *, by: str, reason: str = "", dry_run: bool
) -> Resent:
    """Queues the cases' notices for the DAG retry_mails, and writes an event for each.

    If a mail server has accepted a notice of the case before, the new notice has the same deadline. A case whose time
    is up is refused. The DAG writes the mails, so that the keys that sign links aren't needed here.

    :param chosen: the cases
    :param by: the person, for the event
    :param reason: the person's reason, for the event
    :param dry_run: only return what would be sent
    :raises DecisionRefused: the name of the person can't be used in an event
    :raises SettingsError: a mail setting or the customer directory can't be used
    :raises DirectoryUnavailable: the customer directory doesn't answer
    :raises KafkaError: a notice or event wasn't confirmed; the notices before it are queued
    """
    writer, by = LetterWriter(settings, _NoLinks()), person(by)
    command = f"resend-{uuid.uuid4().hex[:12]}"
    letters: list[Letter] = []
    refused: dict[str, str] = {}
    limit, now = settings.confirmation_time_limit, datetime.now(UTC)
    for case in chosen:
        record, accepted = cases.transactions[case], cases.accepted.get(case)
        first_limit = datetime.fromtimestamp(int(record.timestamps[0]) / 1000, UTC) + limit
        ends = deadline(first_limit, accepted, limit)
        if ends <= now:
            refused[case] = f"its time was up at {ends:%Y-%m-%d %H:%M:%S} UTC, so links would take no answer"
            continue
        until = None if accepted is None else int(ends.timestamp() * 1000)
        (letter,) = writer.letters(record, command, until)
        if letter.unsettled:
            letters.append(letter)
        else:
            refused[case] = letter.mail.reply
    if not dry_run and letters:
        queue, events = RetryQueue(settings), CaseEvents(settings)
        for letter in letters:
            queue.send_again(letter)
            events.publish([_event(letter, by, reason)])
    return Resent(letters, refused)


def _event(letter: Letter, by: str, reason: str) -> CaseEvent:
    details: Mapping[str, Any] = {"messageId": letter.message_id, "kind": letter.kind}
    return CaseEvent(letter.id_transaction, MAIL_RESENT, by, reason, masked(letter.mail.recipient), details)


def _decoded(settings: Settings, topic: str) -> Iterator[dict[str, Any]]:
    codec = Codec.for_topic(topic, settings)
    for message in records(settings, topic):
        record = _record(codec, message)
        if record is not None:
            yield record


def _record(codec: Codec, message: Message) -> dict[str, Any] | None:
    """Returns the decoded record; None: it can't be decoded, and is a dead letter."""
    try:
        return codec.decode(message.value())
    except RecordError:
        return None
