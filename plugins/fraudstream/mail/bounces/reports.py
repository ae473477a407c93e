"""What a returned mail says: a delivery status notification (RFC 3464, 6533), a complaint (ARF, RFC 5965), or neither.

The standard library reads both formats; flufl.bounce knows the words of servers that keep to no format.
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

#: Longest reason kept, in characters.
_REASON_LENGTH = 500
#: Types of parts, without and with text that isn't ASCII (RFC 6533).
_DELIVERY_STATUS = ("message/delivery-status", "message/global-delivery-status")
_ORIGINAL = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")


class _TextHeaders(policy.Compat32):
    """Each header is a str: compat32 has a Header in place of one with bytes that aren't ASCII."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        """The header as UTF-8, with a replacement character for each byte that isn't."""
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_PARSER = BytesParser(policy=_TextHeaders())


class Outcome(Enum):
    """What happened to the mail that came back."""

    BOUNCED = "it wasn't delivered, and the server won't try again"
    COMPLAINED = "the recipient reported it as spam"
    #: Delayed, delivered, relayed: the server isn't done, or all is well.
    IN_PROGRESS = "nothing is wrong yet"
    #: A vacation notice, an answer by a person, or a notice of no known form.
    OTHER = "no report about a mail"


@dataclass(frozen=True, slots=True)
class Report:
    """A returned mail as far as it is understood.

    `status` is the enhanced status code, such as 5.1.1; `addresses` are where the mail that it is about may have been
    sent from, as the report says.
    """

    outcome: Outcome
    reason: str = ""
    status: str = ""
    recipient: str = ""
    addresses: Sequence[str] = ()


def read_report(content: bytes) -> Report:
    """Reads a returned mail, whatever is in it."""
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
    """Recipients that a notice without a format reports as permanently unreachable."""
    try:
        return sorted(address.decode("ascii", "replace") for address in scan_message(message))
    except Exception:
        # Its detectors fail on mails that lack what they look for, such as a From.
        logger.warning("flufl.bounce can't read a returned mail of %d bytes", len(bytes(message)), exc_info=True)
        return []


def _delivery_status(notice: Message) -> Report:
    """Each block with an action is about a recipient; the first block is about the mail, except for some servers."""
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
    """The word; a comment in parentheses may follow it."""
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
    """The groups of fields in a part, which blank lines separate."""
    payload = part.get_payload()
    if isinstance(payload, list):
        # The parser takes the content of each message/... for messages, and decodes none: undo that.
        text = b"\n".join(cast(Message, block).as_bytes() for block in payload)
        encoded, part = part, Message()
        part["Content-Transfer-Encoding"] = encoded.get("Content-Transfer-Encoding", "8bit")
        part.set_payload(text)
    content = part.get_payload(decode=True)
    groups = re.split(rb"\n\s*\n", content.strip() if isinstance(content, bytes) else b"")
    return [_PARSER.parsebytes(group) for group in groups]


def _parsed(part: Message) -> Message:
    """The text of a part, read as a message."""
    payload = part.get_payload(decode=True)
    content = payload if isinstance(payload, bytes) else b""
    return _PARSER.parsebytes(content)


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_REASON_LENGTH]
