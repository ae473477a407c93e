"""The bounce receiver over a real connection; no stack is needed."""

import asyncio
import smtplib
from collections.abc import Iterable

import pytest
from fraudstream.cases.events import CaseEvent
from fraudstream.mail.bounces.addresses import ReturnAddresses
from fraudstream.mail.bounces.receiver import LARGEST, Bounces, smtp_protocol
from fraudstream.settings import Settings

from tests.unit.mail.bounces.test_bounces import CASE, KEY, POSTFIX

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
