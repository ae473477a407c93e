"""Reads returned mails: delivery status notifications (RFC 3464, 6533), complaints (ARF, RFC 5965), and others.

The standard library parses both formats. flufl.bounce recognises the texts of servers that use no standard format.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser
from enum import Enum
from typing import Any, cast

from flufl.bounce import scan_message

logger = logging.getLogger(__name__)

#: Maximum length of a stored reason, in characters.
_REASON_LENGTH = 500
#: Content types of parts: those of ASCII text, and those of other text (RFC 6533).
_DELIVERY_STATUS = ("message/delivery-status", "message/global-delivery-status")
_ORIGINAL = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")


class _TextHeaders(policy.Compat32):
    """A policy that returns each header as a str. Compat32 returns a Header object if there are bytes beyond ASCII."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        """Decodes the header as UTF-8, with replacement characters for invalid bytes."""
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_PARSER = BytesParser(policy=_TextHeaders())


class Outcome(Enum):
    """What a report says about its mail."""

    BOUNCED = "it wasn't delivered, and the server won't try again"
    COMPLAINED = "the recipient reported it as spam"
    #: Delayed, delivered, relayed or expanded: the server is still trying, or was successful.
    IN_PROGRESS = "nothing is wrong yet"
    #: A vacation notice, a person's reply, or a notice in an unknown format.
    OTHER = "no report about a mail"


@dataclass(frozen=True, slots=True)
class Report:
    """The information in a returned mail; unknown values are empty.

    `status` is the enhanced status code, such as 5.1.1. `addresses` are possible return addresses of the mail that the
    report is about.
    """

    outcome: Outcome
    reason: str = ""
    status: str = ""
    recipient: str = ""
    addresses: Sequence[str] = ()


def read_report(content: bytes) -> Report:
    """Parses a returned mail. The outcome is OTHER if its content isn't understood."""
    message = cast(EmailMessage, _PARSER.parsebytes(content))
    feedback = next(_parts(message, "message/feedback-report"), None)
    if feedback is not None:
        return _complaint(message, feedback)
    notice = next(_parts(message, *_DELIVERY_STATUS), None)
    if notice is not None:
        return _delivery_status(notice)
    if message.get("Auto-Submitted", "no").lower().startswith("auto-replied") or message.get("X-Autoreply"):
        return Report(Outcome.OTHER, _line(message.get("Subject", "")))
    permanent = _undeliverable(message)
    if permanent:
        return Report(Outcome.BOUNCED, _line(message.get("Subject", "")), "", permanent[0])
    return Report(Outcome.OTHER, _line(message.get("Subject", "")))


def _undeliverable(message: Message) -> list[str]:
    """Returns the recipients that a notice in no standard format reports as permanently unreachable."""
    try:
        return sorted(address.decode("ascii", "replace") for address in scan_message(message))
    except Exception:
        # flufl.bounce's detectors fail on mails without certain headers, such as From.
        logger.warning("flufl.bounce can't read a returned mail of %d bytes", len(bytes(message)), exc_info=True)
        return []


def _delivery_status(notice: Message) -> Report:
    """Reads a delivery status notification. Each block with an action is about a recipient.

    The first block should be about the mail, but some servers leave it out.
    """
    recipients = [block for block in _blocks(notice) if "Action" in block]
    for block in recipients:
        if _action(block) == "failed":
            reason = block.get("Diagnostic-Code", "").partition(";")[2] or block.get("Status", "")
            return Report(
                Outcome.BOUNCED,
                _line(reason),
                block.get("Status", "").split(" ")[0].strip(),
                block.get("Final-Recipient", "").partition(";")[2].strip(),
            )
    actions = sorted(set(map(_action, recipients)))
    known = actions and set(actions) <= {"delayed", "delivered", "relayed", "expanded"}
    return Report(Outcome.IN_PROGRESS if known else Outcome.OTHER, ", ".join(actions))


def _action(block: Message) -> str:
    """Returns the action in lower case, without a comment in parentheses after it."""
    return str(block.get("Action", "")).partition("(")[0].strip().lower()


def _complaint(message: Message, feedback: Message) -> Report:
    (block, *_) = [*_blocks(feedback), Message()]
    addresses = [block.get("Original-Mail-From", "")]
    for part in message.walk():
        if part.get_content_type() in _ORIGINAL:
            payload = part.get_payload()
            original: Any = payload[0] if isinstance(payload, list) and payload else _parsed(part)
            addresses += [value for name in ("Return-Path", "X-Return-Path") for value in original.get_all(name, [])]
    kind = block.get("Feedback-Type", "").strip().lower()
    outcome = Outcome.COMPLAINED if kind in ("abuse", "fraud", "virus", "other") else Outcome.OTHER
    recipient = block.get("Original-Rcpt-To", "").strip().strip("<>")
    return Report(outcome, _line(f"{kind}: {block.get('User-Agent', '')}"), "", recipient, addresses)


def _parts(message: Message, *kinds: str) -> Iterator[Message]:
    return (part for part in message.walk() if part.get_content_type() in kinds)


def _blocks(part: Message) -> list[Message]:
    """Returns the groups of fields in a part, which are separated by blank lines."""
    payload = part.get_payload()
    if isinstance(payload, list):
        # The parser parses the content of each message/... as messages, without decoding it. Undo that.
        text = b"\n".join(cast(Message, block).as_bytes() for block in payload)
        encoded, part = part, Message()
        part["Content-Transfer-Encoding"] = encoded.get("Content-Transfer-Encoding", "8bit")
        part.set_payload(text)
    content = part.get_payload(decode=True)
    groups = re.split(rb"\n\s*\n", content.strip() if isinstance(content, bytes) else b"")
    return [_PARSER.parsebytes(group) for group in groups]


def _parsed(part: Message) -> Message:
    """Parses the text of a part as a message."""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    return _PARSER.parsebytes(content)


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_REASON_LENGTH]
