"""Renders mails to bytes. Each template is rendered and MIME-encoded once; for a mail only its values are filled in.

Building an ``EmailMessage`` takes more than a millisecond for each mail, filling in a skeleton some tens of
microseconds.

1. Jinja renders include/templates/mail/<kind>.html and .txt with marks in place of the values.
2. The standard library's email package writes the constant headers (From and Reply-To). The skeleton's other headers
   and the parts follow.
3. The parts become quoted-printable ``%`` formats, so that every mail is 7-bit with short lines, for any values.
4. For each mail, the values are cleaned, escaped for HTML and encoded. One ``bytes %`` operation puts them in.
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

#: Status of a fraud notice that is a reminder.
REMINDER = "REMINDER"
#: The boundary can't occur in quoted-printable text, where "=" is followed by two hex digits or a line end.
_BOUNDARY = "=_alternative"
_MARK = "\ue000{}\ue001"
_MARKED = re.compile("\ue000(.*?)\ue001")
_SUBJECT = re.compile(r"Subject: (.*)\n\n")
#: A value that is the same in plain text, HTML and quoted-printable. Nearly all values are.
_SIMPLE = re.compile(r"[A-Za-z0-9 .,:*_-]{0,74}[A-Za-z0-9.,:*_-]", re.ASCII)
#: A subject that needs no encoded words and no folding.
_PLAIN_SUBJECT = re.compile(r"(?!.*=\?)[!-~](?:[ -~]{0,65}[!-~])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts in a mail, as shown to the customer; unused ones are empty.

    `language` and `status` select the texts and are not shown. An empty language is the default language. The status of
    a receipt is the result of :func:`fraudstream.cases.answers.staff.words_of`, that of a reminder is REMINDER.
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
    #: The facts that the mail shows: name, key in the plain text, key in the HTML.
    shown: list[tuple[str, bytes, bytes]]


#: The keys of each fact in a skeleton: in the plain text, in the HTML.
_KEYS = {
    field.name: (f"text.{field.name}".encode(), f"html.{field.name}".encode())
    for field in fields(Facts)
    if field.name not in ("language", "status")
}

#: A record of mail_retry has at most 255 bytes for "<kind.digest@domain>/deferrals".
_LONGEST_DOMAIN = 190


def message_id(topic: str, kind: Kind, id_transaction: str, domain: str) -> str:
    """Returns the Message-ID of a mail. It is the same each time the mail is tried, and unique among all mails."""
    digest = hashlib.sha256("\0".join((topic, kind, id_transaction)).encode()).hexdigest()
    return f"<{kind}.{digest[:40]}@{domain}>"


def cleaned(value: str) -> str:
    """Replaces unprintable characters with spaces: they could add lines to a mail or change its text direction."""
    return value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)


class MailTemplates:
    """Writes the mails of one sender.

    :raises SettingsError: `mail_sender`, `mail_envelope_sender`, `mail_reply_to` or the bank's own texts can't be used
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
        """Returns the whole mail with CRLF line ends, not dot-stuffed.

        :param recipient: written to a header without escaping; must satisfy
            :func:`~fraudstream.mail.letter.recipients.is_address`
        :param identity: the Message-ID
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
        """Returns subject, plain text and HTML of a mail as rendered by Jinja, with ``\\n`` line ends."""
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
            # Prevents vacation notices: RFC 3834, and the header that Exchange uses.
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
    """Encodes a subject in lines of at most 76 characters, the header's name included (encoded words, RFC 2047)."""
    if _PLAIN_SUBJECT.fullmatch(value):
        return value.encode("ascii")
    return Header(value, "utf-8", maxlinelen=76, header_name="Subject").encode(linesep="\r\n").encode("ascii")


def _address(setting: str, value: str) -> tuple[str, str]:
    """Returns the name and the address in ASCII.

    :raises SettingsError: the value isn't an address
    """
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
