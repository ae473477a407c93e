"""Writes the mails for a batch of records, and the log lines of mails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

import orjson
import pyarrow as pa

from fraudstream.cases.answers.staff import staff_decisions
from fraudstream.kafka.records import Batch, Partition
from fraudstream.kafka.topic import definitions
from fraudstream.mail.bounces.addresses import ReturnAddresses
from fraudstream.mail.customers.customer import Customer, NotReachable
from fraudstream.mail.customers.sources import customers
from fraudstream.mail.letter.facts import FactsWriter, MakesLinks
from fraudstream.mail.letter.recipients import SafeMode, is_address
from fraudstream.mail.letter.templates import Kind, MailTemplates, message_id
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.settings import Settings

_REMINDER = "reminder-"
#: The kind of mail for the records of each topic.
KINDS: dict[str, Kind] = {**definitions.MAILS}


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail and the record that caused it; `offset` and `timestamp` (ms since 1970) are those of the Kafka record.

    `about` and `row` are the batch and index of the transaction or answer that the mail is about. For a mail that is
    tried again, this is another record than the one that caused the try. `deferrals` counts how often the mail was
    deferred before. `resend` identifies the command or reminder that sends it again; empty: it is sent as usual.
    """

    mail: Mail
    id_transaction: str
    kind: Kind
    message_id: str
    offset: int
    timestamp: int
    about: Batch
    row: int
    deferrals: int = 0
    resend: str = ""
    #: Until when the customer may answer, ms since 1970; None: the time limit begins when the mail is written.
    until: int | None = None

    @property
    def record(self) -> pa.RecordBatch:
        """The transaction or answer that the mail is about, as a batch of one row."""
        return self.about.rows.slice(self.row, 1)

    @property
    def record_timestamp(self) -> int:
        """The Kafka timestamp of the record that the mail is about, ms since 1970."""
        return int(self.about.timestamps[self.row])

    @property
    def unsettled(self) -> bool:
        """Whether the mail has no status yet."""
        return not self.mail.status


class WritesLetters(Protocol):
    """The methods of a writer that the sink uses."""

    def letters(self, batch: Batch) -> list[Letter]:
        """Returns a letter for each record, in offset order."""

    def close(self) -> None:
        """Releases the writer's resources."""


class LetterWriter:
    """Writes the letters for the records of the topics in `kinds`.

    If no mail may or can be sent to a customer, the letter is already settled. It is ``suppressed`` by safe mode, or if
    the customer directory has no valid address. It is ``failed`` if the transaction's columns make no valid address.

    :raises SettingsError: the sender, the texts or the source of the customers can't be used
    :raises DirectoryUnavailable: the customer directory doesn't answer
    """

    def __init__(self, settings: Settings, links: MakesLinks | None, kinds: Mapping[str, Kind] = KINDS) -> None:
        self._templates = MailTemplates(settings)
        self._facts = FactsWriter(settings, links)
        self._kinds = kinds
        self._customers = customers(settings)
        self._safe_mode = SafeMode(settings)
        self._return_addresses = ReturnAddresses(settings)
        self._time_limit_ms = settings.confirmation_time_limit_seconds * 1000

    def letters(self, batch: Batch, resend: str = "", until: int | None = None) -> list[Letter]:
        """Returns a letter for each record, in offset order.

        :param resend: makes the Message-IDs differ from those of mails that were sent before
        :param until: until when customers may answer, ms since 1970; None: the time limit begins now
        :raises SettingsError: the customer directory can't be read
        :raises DirectoryUnavailable: the customer directory doesn't answer
        """
        kind = self._kinds[batch.partition.topic]
        now = datetime.now(UTC).replace(microsecond=0)
        columns = {name: batch.rows[name].to_pylist() for name in self._columns(kind)}
        for name in ("timestamp", "answeredAt") if kind == "receipt" else ("timestamp",):
            columns[name] = batch.rows[name].cast(pa.int64()).to_pylist()
        if kind == "receipt":
            columns["staff"] = staff_decisions(batch.rows).tolist()
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        found = zip(rows, self._customers.of(rows), strict=True)
        return [
            self._letter(batch, index, kind, row, customer, resend, now, until)
            for index, (row, customer) in enumerate(found)
        ]

    def close(self) -> None:
        """Does nothing: there are no resources to release."""

    def _columns(self, kind: Kind) -> list[str]:
        needed = ["idTransaction", "type", "amount", "nameOrig", "nameDest", *self._customers.columns]
        return list(dict.fromkeys([*needed, "status"] if kind == "receipt" else needed))

    def _letter(
        self,
        batch: Batch,
        index: int,
        kind: Kind,
        row: Mapping[str, object],
        customer: Customer | NotReachable,
        resend: str,
        now: datetime,
        until: int | None,
    ) -> Letter:
        id_transaction = str(row["idTransaction"])
        timestamp = int(batch.timestamps[index])
        # each staff decision of a case has its own receipt
        decision = f"\0{row['answeredAt']}" if row.get("staff") else ""
        identity = message_id(batch.partition.topic, kind, id_transaction + decision + resend, self._templates.domain)
        mail = Mail("", b"", self._return_addresses.of(kind, id_transaction))
        if isinstance(customer, NotReachable):
            _settle(mail, "suppressed", f"not sent: {customer.reason}", now)
        else:
            mail.recipient = customer.address
            if not is_address(customer.address):
                _settle(mail, "failed", "not sent: the transaction's columns make no mail address", now)
            elif not self._safe_mode.allows(customer.address):
                _settle(mail, "suppressed", "not sent: safe mode, no pattern of mail_allowed_recipients matches", now)
            else:
                ends = until or int(now.timestamp() * 1000) + self._time_limit_ms
                facts = self._facts.facts(kind, row, ends, customer, reminder=is_reminder(resend))
                mail.content = self._templates.render(
                    kind, facts, recipient=customer.address, identity=identity, sent_at=now
                )
        offset = int(batch.offsets[index])
        return Letter(mail, id_transaction, kind, identity, offset, timestamp, batch, index, resend=resend, until=until)


def reminder_id(share: float) -> str:
    """Returns the `resend` of a reminder after a share of the time limit. It is the same for repeated reminders."""
    return f"{_REMINDER}{share:g}"


def is_reminder(resend: str) -> bool:
    """Whether a mail with this `resend` is a reminder."""
    return resend.startswith(_REMINDER)


def log_lines(partition: Partition, letters: Sequence[Letter]) -> bytes:
    """Returns the log lines of settled letters for email_confirmation/: JSON lines, times in ISO 8601 UTC.

    `firstTriedAt` is null for a mail that was never tried.
    """
    return b"".join(
        orjson.dumps(
            {
                "idTransaction": letter.id_transaction,
                "kind": letter.kind,
                "recipient": letter.mail.recipient,
                "messageId": letter.message_id,
                "status": letter.mail.status,
                "reply": letter.mail.reply,
                "attempts": letter.mail.attempts,
                "firstTriedAt": _iso(letter.mail.first_tried_at) if letter.mail.attempts else None,
                "finishedAt": _iso(letter.mail.finished_at),
                "topic": partition.topic,
                "partition": partition.number,
                "offset": letter.offset,
                "recordTimestamp": _iso(letter.timestamp / 1000),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for letter in letters
    )


def _settle(mail: Mail, status: str, reply: str, at: datetime) -> None:
    mail.status, mail.reply, mail.finished_at = status, reply, at.timestamp()


def _iso(seconds: float) -> str:
    whole, milliseconds = divmod(round(seconds * 1_000_000) // 1000, 1000)
    return f"{_second(whole)}.{milliseconds:03d}Z"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
