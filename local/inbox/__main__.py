"""``python -m local.inbox``: receives mails over SMTP and shows them over HTTP, on loopback only."""

import argparse
import asyncio
from pathlib import Path

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session

from local.inbox.mailbox import Mailbox
from local.inbox.returns import Returns
from local.inbox.web import app_for
from local.stack.ports import HOST

_MAIL_BYTES = 10 << 20


class _Keep:
    """The handler that aiosmtpd calls for each mail."""

    def __init__(self, mailbox: Mailbox, returns: Returns) -> None:
        self._mailbox = mailbox
        self._returns = returns

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        content = envelope.content
        assert isinstance(content, bytes)  # noqa: S101 - decode_data is off
        sender = envelope.mail_from or ""
        returned = self._returns.concern(sender, envelope.rcpt_tos)
        self._mailbox.add(sender, envelope.rcpt_tos, content, returned=returned)
        if returned:
            self._returns.send_back(sender, envelope.rcpt_tos, content)
        return "250 OK"


async def _serve(smtp_port: int, http_port: int, database: Path) -> None:
    mailbox, returns = Mailbox(database), Returns()
    keep = _Keep(mailbox, returns)
    smtp = await asyncio.get_running_loop().create_server(
        lambda: SMTP(keep, data_size_limit=_MAIL_BYTES, enable_SMTPUTF8=True, hostname="localhost", ident="inbox"),
        HOST,
        smtp_port,
    )
    config = uvicorn.Config(app_for(mailbox, returns), host=HOST, port=http_port, access_log=False, log_level="warning")
    async with smtp:
        await uvicorn.Server(config).serve()  # until SIGTERM
    mailbox.close()


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m local.inbox", description=__doc__)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--http-port", type=int, required=True)
    parser.add_argument("--db", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(_serve(options.smtp_port, options.http_port, options.db))


if __name__ == "__main__":
    main()
