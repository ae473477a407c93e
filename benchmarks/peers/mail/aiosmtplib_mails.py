"""Sends mails with aiosmtplib over kept connections, one asyncio task each. Arguments: port, mails, connections."""

import asyncio
import sys
from email.message import EmailMessage

import aiosmtplib
import uvloop

from benchmarks.harness.outcome import timed
from benchmarks.peers.mail.texts import Notices


def notice(notices: Notices, number: int) -> EmailMessage:
    """Builds one notice."""
    subject, text, html = notices(number)
    message = EmailMessage()
    message["From"] = "Example Bank <no-reply@bank.example>"
    message["To"] = f"C{number}@example.com"
    message["Subject"] = subject
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message


async def main(port: int, mails: int, connections: int) -> None:
    """Sends the notices over `connections` connections."""
    notices = Notices()

    async def send(first: int) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as server:
            for number in range(first, mails, connections):
                await server.send_message(notice(notices, number))

    await asyncio.gather(*(send(first) for first in range(connections)))


if __name__ == "__main__":
    with timed() as work:
        work.items = int(sys.argv[2])
        uvloop.run(main(*map(int, sys.argv[1:])))
