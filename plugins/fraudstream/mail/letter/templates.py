"""Mails as bytes, fast: each template is rendered and MIME-encoded once, a mail only fills in its values.

Building an ``EmailMessage`` per mail takes more than a millisecond; filling a skeleton takes some tens of microseconds.

1. Jinja renders include/templates/mail/<kind>.html and .txt with marks in the place of values.
2. The stdlib's email package writes the constant header (From), the rest of the skeleton is laid around the parts.
3. The parts become quoted-printable ``%`` formats, so that every mail is 7-bit, with short lines, whatever its values.
4. For each mail, every value is cleaned, escaped for HTML, encoded, and put in: one ``bytes %`` operation.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import escape

from fraudstream.cases.answers.staff import STAFF
from fraudstream.errors import SettingsError
from fraudstream.mail.letter.quoted_printable import encode_template, encode_value
from fraudstream.mail.letter.recipients import is_address, to_ascii
from fraudstream.settings import TEMPLATES, Settings
from fraudstream.texts import texts_of

Kind = Literal["notice", "fraud_notice", "receipt"]

#: Status of a fraud notice that reminds of one before.
REMINDER = "REMINDER"
#: The boundary can't occur in quoted-printable text, where "=" is followed by two hex digits or a line end.
_BOUNDARY = "=_alternative"
_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000(.*?)\ue001")
_SUBJECT = re.compile(r"Subject: (.*)\n\n")
#: A value that reads the same in plain text, HTML and quoted-printable: nearly every one.
_SIMPLE = re.compile(r"[A-Za-z0-9 .,:*_-]{0,74}[A-Za-z0-9.,:*_-]", re.ASCII)
#: A subject that needs no encoded words and no folding.
_PLAIN_SUBJECT = re.compile(r"(?!.*=\?)[!-~](?:[ -~]{0,65}[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a mail says of a transaction, as shown to the customer; unused ones are empty.

    `language` and `status` pick the words and are not shown; without a language it is the default one. The status of a
    receipt is what :func:`fraudstream.cases.answers.staff.words_of` returns, that of a reminder REMINDER.
    """

    id: str
    amount: str
    type: str
    account: str
    counterparty: str
    time: str
    language: str = ""
    name: str = ""
    status: str = ""
    answered: str = ""
    fraud_url: str = ""
    not_fraud_url: str = ""
    until: str = ""


@dataclass(frozen=True, slots=True)
class _Skeleton:
    subject: str
    mail: bytes
    #: What it shows of the facts: name, key in the plain text, key in the HTML.
    shown: list[tuple[str, bytes, bytes]]


#: Each shown fact with its keys in a skeleton: in the plain text, in the HTML.
_KEYS = {
    field.name: (f"text.{field.name}".encode(), f"html.{field.name}".encode())
    for field in fields(Facts)
    if field.name not in ("language", "status")
}

#: A record of mail_retry has at most 255 bytes for "<kind.digest@domain>/deferrals".
_LONGEST_DOMAIN = 190


def message_id(topic: str, kind: Kind, id_transaction: str, domain: str) -> str:
    """The Message-ID of a mail: the same in every re-send, another one for every other mail."""
    digest = hashlib.sha256("\0".join((topic, kind, id_transaction)).encode()).hexdigest()
    return f"<{kind}.{digest[:40]}@{domain}>"


def cleaned(value: str) -> str:
    """A value without what could forge lines or direction in a mail: unprintable characters become spaces."""
    return value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)


class MailTemplates:
    """Writes the mails of one sender.

    :raises SettingsError: `mail_sender` is not an address that mail can come from, or the bank's own texts are unusable
    """

    def __init__(self, settings: Settings) -> None:
        name, self.sender = _address("FRAUDSTREAM_MAIL_SENDER", settings.mail_sender)
        self.envelope_sender = self.sender
        if settings.mail_envelope_sender:
            _, self.envelope_sender = _address("FRAUDSTREAM_MAIL_ENVELOPE_SENDER", settings.mail_envelope_sender)
        self.domain = self.sender.rpartition("@")[2]
        if len(self.domain) > _LONGEST_DOMAIN:
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_SENDER is {settings.mail_sender!r}: its domain has {len(self.domain)} characters."
                f" Expected {_LONGEST_DOMAIN} at most, so that Message-IDs fit into the records of topic mail_retry"
            )
        self._texts = texts_of(settings)
        self._language = next(iter(self._texts))
        self._always = {
            "bank": settings.bank_name,
            "amount_in_subject": settings.mail_amount_in_subject,
            "replies_are_read": bool(settings.mail_reply_to),
        }
        self._constant = _constant_header("From", formataddr((name, self.sender)))
        if settings.mail_reply_to:
            reply_to = _address("FRAUDSTREAM_MAIL_REPLY_TO", settings.mail_reply_to)
            self._constant += _constant_header("Reply-To", formataddr(reply_to))
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES / "mail"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            keep_trailing_newline=True,
            trim_blocks=True,
        )
        self._skeletons: dict[tuple[Kind, str, str, bool], _Skeleton] = {}

    def render(self, kind: Kind, facts: Facts, *, recipient: str, identity: str, sent_at: datetime) -> bytes:
        """The whole mail, CRLF line ends, not dot-stuffed; `identity` is its Message-ID.

        `recipient` goes into a header as it is, so
        :func:`~fraudstream.mail.letter.recipients.is_address` must hold for it.
        """
        variant = (kind, facts.language, facts.status, not facts.name)
        skeleton = self._skeletons.get(variant)
        if skeleton is None:
            skeleton = self._skeletons[variant] = self._skeleton(*variant)
        values = {b"to": recipient.encode("ascii"), b"id": identity.encode("ascii"), b"date": _date(sent_at)}
        shown = {}
        for name, text_key, html_key in skeleton.shown:
            value = getattr(facts, name)
            if _SIMPLE.fullmatch(value):
                values[text_key] = values[html_key] = value.encode("ascii")
            else:
                value = cleaned(value)
                values[text_key] = encode_value(value)
                values[html_key] = encode_value(str(escape(value)))
            shown[name] = value
        values[b"subject"] = _subject(skeleton.subject % shown)
        return skeleton.mail % values

    def texts(self, kind: Kind, facts: Mapping[str, str]) -> tuple[str, str, str]:
        """Subject, plain text and HTML of a mail as Jinja renders them, with ``\\n`` line ends."""
        language = facts["language"] or self._language
        staff = facts["status"].startswith(STAFF)
        values = {**facts, **self._always, "language": language, "text": self._texts[language], "staff": staff}
        whole = self._environment.get_template(f"{kind}.txt").render(values)
        html = self._environment.get_template(f"{kind}.html").render(values)
        head = _SUBJECT.match(whole)
        if head is None:
            raise SettingsError(f"include/templates/mail/{kind}.txt must begin with a Subject line and an empty line")
        return head[1], whole[head.end() :], html

    def _skeleton(self, kind: Kind, language: str, status: str, nameless: bool) -> _Skeleton:
        marks = {name: _MARK.format(name) for name in _KEYS} | ({"name": ""} if nameless else {})
        subject, text, html = self.texts(kind, {**marks, "language": language, "status": status})
        mail = (
            self._constant,
            b"To: %(to)b\r\nSubject: %(subject)b\r\nDate: %(date)b\r\nMessage-ID: %(id)b\r\n",
            # No vacation notice in return: RFC 3834, and what Exchange looks at.
            b"Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\nMIME-Version: 1.0\r\n",
            f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"\r\n'.encode(),
            _part("plain", encode_template(text, _MARKED, lambda name: b"%%(%b)b" % _KEYS[name][0])),
            _part("html", encode_template(html, _MARKED, lambda name: b"%%(%b)b" % _KEYS[name][1])),
            f"\r\n--{_BOUNDARY}--\r\n".encode(),
        )
        used = {name for part in (subject, text, html) for name in _MARKED.findall(part)}
        shown = [(name, *keys) for name, keys in _KEYS.items() if name in used]
        return _Skeleton(_MARKED.sub(r"%(\1)s", subject.replace("%", "%%")), b"".join(mail), shown)


def _part(subtype: str, body: bytes) -> bytes:
    head = (
        f"\r\n--{_BOUNDARY}\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + body


def _constant_header(name: str, value: str) -> bytes:
    message = EmailMessage(policy=SMTP)
    message[name] = value
    return message.as_bytes().partition(b"\r\n\r\n")[0].replace(b"%", b"%%") + b"\r\n"


def _subject(value: str) -> bytes:
    """Lines of at most 76 characters, the header's name included, encoded words where needed (RFC 2047)."""
    if _PLAIN_SUBJECT.fullmatch(value):
        return value.encode("ascii")
    return Header(value, "utf-8", maxlinelen=76, header_name="Subject").encode(linesep="\r\n").encode("ascii")


def _address(setting: str, value: str) -> tuple[str, str]:
    """Name and address; the address in ASCII."""
    name, address = parseaddr(value)
    address = to_ascii(address)
    if not is_address(address) or not value.isprintable():
        raise SettingsError(
            f"{setting} is {value!r}: no mail address. Expected something like Example Bank <no-reply@bank.example>"
        )
    return name, address


@lru_cache(maxsize=64)
def _date(at: datetime) -> bytes:
    return format_datetime(at.astimezone(UTC)).encode("ascii")
