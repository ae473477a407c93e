"""Returns mails: the local mail server accepts a mail, then notifies its sender that there is no such mailbox.

The notice is a delivery status notification (RFC 3464). A provider's server sends one if it finds out only after
accepting a mail that the mailbox doesn't exist.
"""

import asyncio
import logging
import smtplib
from collections.abc import Collection, Sequence
from email.message import Message
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import formatdate, make_msgid

from local.stack.ports import HOST

logger = logging.getLogger(__name__)

_NAME = "inbox.localhost"
_REPLY = "550 5.1.1 no such mailbox"
_AGAIN_SECONDS = 1.0
_TRIES = 120


class Returns:
    """The recipients without a mailbox, and the mail server that gets the notices. At first every recipient has one."""

    def __init__(self) -> None:
        self._recipients: frozenset[str] = frozenset()
        self._port = 0
        self._sending: set[asyncio.Task[None]] = set()

    def set(self, recipients: Collection[str], port: int) -> None:
        """Returns mails to these recipients from now on; notices go to the mail server on `port` of this machine."""
        self._recipients, self._port = frozenset(recipients), port

    def concern(self, sender: str, recipients: Sequence[str]) -> bool:
        """Whether a mail must be returned. A mail without an envelope sender is itself a notice and is not."""
        return bool(sender) and not self._recipients.isdisjoint(recipients)

    def send_back(self, sender: str, recipients: Sequence[str], content: bytes) -> None:
        """Starts sending a notice for each recipient without a mailbox, in the background."""
        for recipient in self._recipients & set(recipients):
            task = asyncio.create_task(self._send(sender, notice(sender, recipient, content)))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, to: str, content: bytes) -> None:
        for _ in range(_TRIES):
            try:
                await asyncio.to_thread(_deliver, self._port, to, content)
            except (OSError, smtplib.SMTPException) as error:
                logger.warning("a notice of a returned mail isn't accepted yet, trying again: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return
        logger.error("a notice of a returned mail to %s was dropped after %d tries", to, _TRIES)


def notice(sender: str, recipient: str, returned: bytes) -> bytes:
    """A delivery status notification about a mail to one recipient, with the mail's headers and CRLF line ends."""
    whole = MIMEMultipart("report")
    whole.set_param("report-type", "delivery-status")
    whole["From"], whole["To"] = f"Mail Delivery System <MAILER-DAEMON@{_NAME}>", sender
    whole["Subject"], whole["Date"] = "Undelivered Mail Returned to Sender", formatdate()
    whole["Message-ID"], whole["Auto-Submitted"] = make_msgid(domain=_NAME), "auto-replied"
    whole.attach(MIMEText(f"Your mail to {recipient} could not be delivered: {_REPLY}\n"))
    status = MIMENonMultipart("message", "delivery-status")
    status.set_payload([_block({"Reporting-MTA": f"dns; {_NAME}"}), _block(_of_recipient(recipient))])
    whole.attach(status)
    headers = MIMENonMultipart("text", "rfc822-headers")
    headers.set_payload(returned.partition(b"\r\n\r\n")[0].decode("ascii", "replace").replace("\r\n", "\n"))
    whole.attach(headers)
    return whole.as_bytes(policy=compat32.clone(linesep="\r\n"))


def _of_recipient(recipient: str) -> dict[str, str]:
    return {
        "Final-Recipient": f"rfc822; {recipient}",
        "Action": "failed",
        "Status": _REPLY.split()[1],
        "Diagnostic-Code": f"smtp; {_REPLY}",
    }


def _block(fields: dict[str, str]) -> Message:
    block = Message()
    for name, value in fields.items():
        block[name] = value
    return block


def _deliver(port: int, to: str, content: bytes) -> None:
    with smtplib.SMTP(HOST, port, local_hostname=_NAME, timeout=30) as server:
        server.sendmail("", [to], content)
