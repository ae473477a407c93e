"""Stores the mails that the local SMTP server received, in a SQLite file."""

import re
import sqlite3
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import default
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipients TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    idTransaction TEXT
);
CREATE INDEX IF NOT EXISTS by_transaction ON mail (idTransaction, kind);
CREATE INDEX IF NOT EXISTS by_kind ON mail (kind);
-- Mails that the server took and sent back.
CREATE TABLE IF NOT EXISTS returned (id INTEGER PRIMARY KEY);
-- In a table of its own, so that a search reads no bodies.
CREATE TABLE IF NOT EXISTS source (id INTEGER PRIMARY KEY, content BLOB NOT NULL);
"""
#: A fraud notice whose case has no receipt yet.
_WAITING = (
    "kind = 'fraud_notice' AND idTransaction NOT IN "
    "(SELECT idTransaction FROM mail WHERE kind = 'receipt' AND idTransaction IS NOT NULL)"
)
#: Kinds of mail whose text names the case.
_OF_CASES = ("fraud_notice", "receipt")
_TEXTS = tomllib.loads((Path(__file__).parents[2] / "include" / "templates" / "texts.toml").read_text())
_TRANSACTION = re.compile(rf"^(?:{'|'.join(text['label_id'] for text in _TEXTS.values())}):\s+(\S+)$", re.MULTILINE)
_RETURNED = "id IN (SELECT id FROM returned)"
_LISTED = f"id, received, sender, recipients, subject, kind, {_RETURNED}"
_HEADERS = BytesHeaderParser()  # with policy compat32: decodes no headers, and takes a third of the time of `default`


@dataclass(frozen=True)
class Listed:
    """A mail without its content.

    `kind` is fraudstream's kind of the mail, such as fraud_notice, or empty. `returned`: the server sent the mail back,
    so it never reached its recipient.
    """

    id: int
    received: str
    sender: str
    recipients: str
    subject: str
    kind: str
    returned: bool


class Mailbox:
    """The mails in one SQLite file. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # Without fsync a power failure may lose mails. For a local inbox this is better than an fsync for each mail.
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_SCHEMA}")

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def add(self, sender: str, recipients: Sequence[str], content: bytes, *, returned: bool = False) -> int:
        """Stores a mail unchanged; returns its id."""
        headers = _HEADERS.parsebytes(content)
        kind, dot, _ = str(headers["Message-ID"] or "").lstrip("<").partition(".")
        kind = kind if dot else ""
        found = _TRANSACTION.search(text_of(content)) if kind in _OF_CASES else None
        row = (
            datetime.now(UTC).isoformat(timespec="seconds"),
            sender,
            ", ".join(recipients),
            str(make_header(decode_header(headers["Subject"] or ""))),
            kind,
            found and found[1],
        )
        self._database.execute("BEGIN")
        cursor = self._database.execute(
            "INSERT INTO mail (received, sender, recipients, subject, kind, idTransaction) VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
        self._database.execute("INSERT INTO source VALUES (?, ?)", (cursor.lastrowid, content))
        if returned:
            self._database.execute("INSERT INTO returned VALUES (?)", (cursor.lastrowid,))
        self._database.execute("COMMIT")
        return int(cursor.lastrowid or 0)

    def find(
        self,
        search: str = "",
        *,
        waiting: bool = False,
        kind: str = "",
        returned: bool | None = None,
        after: int = 0,
        limit: int = 50,
        skip: int = 0,
    ) -> tuple[int, list[Listed]]:
        """The number of matching mails, and at most `limit` of them after the first `skip`, newest first.

        :param search: part of the subject, the sender or a recipient
        :param waiting: only fraud notices of cases that have no receipt yet
        :param kind: only mails of this kind
        :param returned: True: only returned mails; False: only others; None: both
        :param after: only mails with an id above this one
        """
        conditions: list[str] = ["id > ?"]
        values: list[str | int] = [after]
        if search:
            conditions.append("(subject LIKE ? ESCAPE '!' OR recipients LIKE ? ESCAPE '!' OR sender LIKE ? ESCAPE '!')")
            pattern = re.sub("([%_!])", r"!\1", search)
            values += [f"%{pattern}%"] * 3
        if kind:
            conditions.append("kind = ?")
            values.append(kind)
        if waiting:
            conditions.append(_WAITING)
        if returned is not None:
            conditions.append(_RETURNED if returned else f"NOT {_RETURNED}")
        where = " AND ".join(conditions)
        (total,) = self._database.execute(f"SELECT count(*) FROM mail WHERE {where}", values).fetchone()  # noqa: S608
        rows = self._database.execute(
            f"SELECT {_LISTED} FROM mail WHERE {where}"  # noqa: S608 - its parts are written here
            " ORDER BY id DESC LIMIT ? OFFSET ?",
            [*values, limit, skip],
        )
        return int(total), [_listed(row) for row in rows]

    def listed(self, number: int) -> Listed | None:
        """The mail with this id, without its content; None if there is none."""
        row = self._database.execute(f"SELECT {_LISTED} FROM mail WHERE id = ?", (number,)).fetchone()  # noqa: S608
        return None if row is None else _listed(row)

    def source(self, number: int) -> bytes | None:
        """The unchanged content of the mail with this id; None if there is none."""
        row = self._database.execute("SELECT content FROM source WHERE id = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def empty(self) -> None:
        """Removes all mails; their ids are not used again."""
        self._database.executescript("DELETE FROM mail; DELETE FROM source; DELETE FROM returned;")


def _listed(row: tuple[Any, ...]) -> Listed:
    values = [*row[:-1], bool(row[-1])]
    return Listed(*values)


def text_of(content: bytes, kind: str = "plain") -> str:
    """The body of a mail as text, `kind` is plain or html; empty if the mail has no such body."""
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - the policy makes it so
    body = message.get_body((kind,))
    return "" if body is None else str(body.get_content())
