"""Receives returned mails over SMTP and writes events about them. aiosmtpd implements the protocol.

A mail is accepted (250) only once its event is durable. If Kafka is not available, or if a bounce can't be parsed, the
reply is 451 and the sending server tries again later. Only signed return addresses and the complaints address are
valid recipients; others are refused (550).
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Protocol, cast

from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import CollectorRegistry, Counter

from fraudstream.cases.events import MAIL_BOUNCED, MAIL_COMPLAINED, CaseEvent, masked
from fraudstream.errors import KafkaError
from fraudstream.mail.bounces.addresses import About, ReturnAddresses
from fraudstream.mail.bounces.reports import Outcome, Report, read_report

logger = logging.getLogger(__name__)

#: Maximum size of a returned mail, in bytes: some servers return the whole mail, and the pipeline's mails are small.
LARGEST = 1 << 20
#: Seconds without a command after which a connection is closed.
IDLE_SECONDS = 60.0
#: Maximum number of open connections.
_CONNECTIONS = 100
#: Maximum number of commands of each kind on one connection.
_COMMANDS = 200
#: Local part of the address to which providers send complaints.
COMPLAINTS = "complaints"

_EVENT_OF = {Outcome.BOUNCED: MAIL_BOUNCED, Outcome.COMPLAINED: MAIL_COMPLAINED}


class Publishes(Protocol):
    """The method of :class:`~fraudstream.cases.events.CaseEvents` that is used here."""

    def publish(self, events: Iterable[CaseEvent]) -> None:
        """Writes events. Returns once all are durable."""


class Bounces:
    """Writes events for reports from SMTP and from the webhook.

    Events are written one at a time. Reports other than bounces and complaints are only counted and logged.
    """

    def __init__(self, addresses: ReturnAddresses, events: Publishes) -> None:
        self.addresses = addresses
        self.registry = CollectorRegistry()
        self._events = events
        self._writing = asyncio.Lock()
        self._counted = Counter(
            "fraudstream_mail_reports",
            "Reports about mails by the way they came in and what they say.",
            ["source", "outcome"],
            registry=self.registry,
        )

    async def report(self, source: str, about: About, report: Report) -> None:
        """Writes the event of a report. Returns once it is durable.

        :param source: ``bounces`` or ``webhook``, the way in which the report arrived
        :param about: the mail that the report is about
        :raises KafkaError: the brokers didn't confirm the event
        """
        self._counted.labels(source, report.outcome.name.lower()).inc()
        event_type = _EVENT_OF.get(report.outcome)
        if event_type is None:
            logger.info("mail about %s: %s, %s", about.id_transaction, report.outcome.value, report.reason)
            return
        event = CaseEvent(
            about.id_transaction,
            event_type,
            source,
            report.reason,
            masked(report.recipient) if report.recipient else None,
            {"kind": about.kind, "status": report.status},
        )
        async with self._writing:
            await asyncio.to_thread(self._events.publish, [event])
        if about.kind == "fraud_notice" and report.outcome is Outcome.BOUNCED:
            # An alert matches these words: docs/mail.md.
            logger.error("fraud notice not delivered: case %s bounced, %s", about.id_transaction, report.reason)

    def refused(self, source: str) -> None:
        """Counts a report that was refused: it isn't about a mail of this pipeline, or can't be read."""
        self._counted.labels(source, "refused").inc()


class Receiver:
    """Handles aiosmtpd's commands."""

    def __init__(self, bounces: Bounces) -> None:
        self._bounces = bounces

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._bounces.addresses.read(address) is None and not self._is_complaints(address):
            self._bounces.refused("smtp")
            return "550 5.1.1 no such address"
        if envelope.rcpt_tos:
            return "452 4.5.3 one recipient at a time"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        (address,) = envelope.rcpt_tos
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        about = self._bounces.addresses.read(address)
        try:
            report = read_report(content)
        except Exception:
            logger.exception("a mail returned to %s can't be read", masked(address))
            self._bounces.refused("smtp")
            # A bounce would be lost after 554; after 451 its server tries again for days. Anybody can write to the
            # complaints address, so a mail to it that can't be read is refused permanently.
            return "554 5.6.0 not readable" if about is None else "451 4.3.0 not readable at present"
        about = about or self._bounces.addresses.find(report.addresses)
        if about is None:
            self._bounces.refused("smtp")
            return "554 5.6.0 not about a mail from here"
        try:
            await self._bounces.report("bounces", about, report)
        except KafkaError as error:
            logger.warning("a returned mail about %s has to come back: %s", about.id_transaction, error)
            return "451 4.3.0 try again later"
        return "250 2.0.0 OK"

    def _is_complaints(self, address: str) -> bool:
        local, _, domain = address.lower().rpartition("@")
        return local == COMPLAINTS and domain == self._bounces.addresses.domain


class _Connections:
    """Makes the protocol of each connection. Connections beyond the limit are closed at once."""

    def __init__(self, bounces: Bounces, options: dict[str, Any]) -> None:
        self._handler = Receiver(bounces)
        self._options = options
        self._open: set[SMTP] = set()

    def __call__(self) -> SMTP:
        return _Bounded(self._open, self._handler, **self._options)


class _Bounded(SMTP):  # type: ignore[misc]
    def __init__(self, open_ones: set[SMTP], handler: Receiver, **options: Any) -> None:
        super().__init__(handler, **options)
        self._open = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if len(self._open) >= _CONNECTIONS:
            cast(asyncio.Transport, transport).abort()
            return
        self._open.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._open:
            self._open.remove(self)
            super().connection_lost(error)


def smtp_protocol(bounces: Bounces, hostname: str) -> _Connections:
    """Returns the protocol factory for ``loop.create_server``."""
    return _Connections(
        bounces,
        {
            "data_size_limit": LARGEST,
            "enable_SMTPUTF8": False,
            "hostname": hostname,
            "ident": "fraudstream",
            "timeout": IDLE_SECONDS,
            "command_call_limit": _COMMANDS,
            "loop": asyncio.get_running_loop(),
        },
    )
