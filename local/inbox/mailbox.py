"""The mails that the local SMTP server got, in a SQLite file."""

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
_HEADERS = BytesHeaderParser()  # without a policy it leaves headers as they are, in a third of the time


@dataclass(frozen=True)
class Listed:
    """A mail as a list shows it; `kind` is what fraudstream wrote it for, empty for other mails.

    A returned mail never reached its recipient.
    """

    id: int
    received: str
    sender: str
    recipients: str
    subject: str
    kind: str
    returned: bool


class Mailbox:
    """One file; not for use by several threads at once."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # A local inbox: losing mails in a power failure costs less than waiting for the disk at each mail.
        self._database.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; {_SCHEMA}")

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def add(self, sender: str, recipients: Sequence[str], content: bytes, *, returned: bool = False) -> int:
        """Keeps a mail as it came; returns its id."""
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
        """The number of matching mails, and some of them, newest first.

        :param search: part of the subject, the sender or a recipient
        :param waiting: fraud notices of cases that have no receipt yet
        :param returned: mails that were returned, or those that weren't; None: both
        :param after: id of the last mail that isn't wanted
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
        """A mail as a list shows it; None: there is none."""
        row = self._database.execute(f"SELECT {_LISTED} FROM mail WHERE id = ?", (number,)).fetchone()  # noqa: S608
        return None if row is None else _listed(row)

    def source(self, number: int) -> bytes | None:
        """A mail as it came; None: there is none."""
        row = self._database.execute("SELECT content FROM source WHERE id = ?", (number,)).fetchone()
        return None if row is None else bytes(row[0])

    def empty(self) -> None:
        """Removes all mails; their ids are not used again."""
        self._database.executescript("DELETE FROM mail; DELETE FROM source; DELETE FROM returned;")


def _listed(row: tuple[Any, ...]) -> Listed:
    values = [*row[:-1], bool(row[-1])]
    return Listed(*values)


def text_of(content: bytes, kind: str = "plain") -> str:
    """The plain or html body of a mail; empty where it has none."""
    message = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)  # noqa: S101 - the policy makes it so
    body = message.get_body((kind,))
    return "" if body is None else str(body.get_content())
