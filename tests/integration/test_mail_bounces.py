"""The bounce receiver over a real connection. It needs no stack."""

import asyncio
import smtplib
import time
from collections.abc import Iterable

import pytest
from fraudstream.cases.events import CaseEvent
from fraudstream.mail.bounces.addresses import ReturnAddresses
from fraudstream.mail.bounces.receiver import LARGEST, Bounces, smtp_protocol
from fraudstream.settings import Settings

from local.inbox.returns import Returns
from tests.unit.mail.bounces.returned_mails import CASE, KEY, POSTFIX

pytestmark = pytest.mark.integration


class Events:
    """Stands for the topic."""

    def __init__(self) -> None:
        self.published: list[CaseEvent] = []

    def publish(self, events: Iterable[CaseEvent]) -> None:
        self.published += events


def test_a_mail_server_returns_a_mail_and_strangers_are_turned_away() -> None:
    addresses = ReturnAddresses(Settings(mail_bounce_keys=KEY, mail_envelope_sender="bounces@bank.example"))
    events = Events()

    def mail_server(port: int) -> None:
        to = addresses.of("fraud_notice", CASE)
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            with pytest.raises(smtplib.SMTPRecipientsRefused):
                client.sendmail("x@example.com", ["someone@bank.example"], b"Subject: hello\r\n\r\nhello\r\n")
            client.sendmail("", [to], POSTFIX % (to.encode(), b"failed"))
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client, pytest.raises(smtplib.SMTPException):
            client.sendmail("", [to], b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (LARGEST // 70))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        protocol = smtp_protocol(Bounces(addresses, events), "bank.example")
        async with await loop.create_server(protocol, "127.0.0.1", 0) as server:
            await asyncio.to_thread(mail_server, server.sockets[0].getsockname()[1])

    asyncio.run(run())
    assert [(event.id_transaction, event.reason[:3]) for event in events.published] == [(CASE, "550")]


def test_what_the_stacks_inbox_returns_is_taken_as_a_bounce_of_its_case() -> None:
    addresses = ReturnAddresses(Settings(mail_bounce_keys=KEY, mail_envelope_sender="bounces@bank.example"))
    events = Events()
    mail = b"Subject: Did you make this payment?\r\nFrom: bank@bank.example\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200

    async def run() -> None:
        protocol = smtp_protocol(Bounces(addresses, events), "bank.example")
        async with await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0) as server:
            returns = Returns()
            returns.set(["c1@example.com"], server.sockets[0].getsockname()[1])
            returns.send_back(addresses.of("fraud_notice", CASE), ["c1@example.com"], mail)
            until = time.monotonic() + 30
            while not events.published and time.monotonic() < until:  # noqa: ASYNC110 - another task makes it so
                await asyncio.sleep(0.02)

    asyncio.run(run())
    (event,) = events.published
    assert (event.id_transaction, event.event_type, event.recipient) == (CASE, "MAIL_BOUNCED", "c1***@example.com")
    assert event.details["kind"] == "fraud_notice"
