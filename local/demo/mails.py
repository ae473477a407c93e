"""The mails of all customers: in the stack's inbox, or in the file that the faster smtp-sink writes."""

import email
import email.policy
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import httpx

#: The links of a fraud notice, by answer: `fraud` and `not-fraud`.
Links = dict[str, str]
FRAUD_NOTICE = "fraud_notice"
_MESSAGE_ID = f"Message-ID: <{FRAUD_NOTICE}.".encode()
_LINK = re.compile(r"https?://\S+/confirm/\S+/(fraud|not-fraud)\b")


class Mails(Protocol):
    """The mails that arrived since this object was created."""

    def count(self) -> int:
        """The number of mails."""

    def fraud_links(self) -> Iterator[Links]:
        """Yields the links of each new fraud notice and reminder, in the order of arrival.

        A mail is new if no earlier call yielded its links. Returned mails are left out: no customer reads them.
        """

    def returned(self, kind: str = "") -> int:
        """The number of returned mails, of one kind or of all."""

    def return_mails(self, recipients: Sequence[str], port: int) -> bool:
        """Returns mails to these recipients from now on; notices go to the mail server on `port` of this machine.

        False if this mail server can't return mails.
        """


class Inbox:
    """The stack's inbox, over its REST API.

    :param emptied: removes all mails that are in the inbox
    """

    def __init__(self, url: str, *, emptied: bool = False) -> None:
        self._client = httpx.Client(base_url=url, timeout=60)
        self._after = 0
        self._known: set[int] = set()
        if emptied:
            self._client.delete("/api/mails").raise_for_status()
        else:
            self._after = max((mail["id"] for mail in self._mails(limit=1)["mails"]), default=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def count(self) -> int:
        """The number of mails that arrived since this object was created."""
        return int(self._mails(limit=0)["total"])

    def fraud_links(self) -> Iterator[Links]:
        """Yields the links of each new fraud notice and reminder, in the order of arrival."""
        notices = self._mails(kind=FRAUD_NOTICE, returned=False, limit=100_000)["mails"]
        for number in sorted(mail["id"] for mail in notices):
            if number not in self._known:
                self._known.add(number)
                yield _links(self._client.get(f"/mails/{number}/text").raise_for_status().text)

    def returned(self, kind: str = "") -> int:
        """The number of returned mails, of one kind or of all."""
        return int(self._mails(kind=kind, returned=True, limit=0)["total"])

    def return_mails(self, recipients: Sequence[str], port: int) -> bool:
        """Returns mails to these recipients from now on; always True."""
        self._client.put("/api/returns", json={"recipients": list(recipients), "port": port}).raise_for_status()
        return True

    def _mails(self, **query: str | int) -> dict[str, Any]:
        answer = self._client.get("/api/mails", params={"after": self._after, **query})
        answer.raise_for_status()
        return dict(answer.json())


class MailFile:
    """The file to which smtp-sink appends each mail, after a few header lines of its own."""

    _BEGIN = re.compile(rb"^X-Client-Addr: .*\nX-Client-Proto: .*\nX-Helo-Args: .*\nX-Mail-Args: ", re.MULTILINE)
    _BLOCK_BYTES = 16 << 20

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._ended = 0
        self._last = b""
        self._frauds: list[bytes] = []
        self._known: set[str] = set()

    def count(self) -> int:
        """The number of mails."""
        self._read()
        return self._ended + bool(self._last)

    def fraud_links(self) -> Iterator[Links]:
        """Yields the links of each new fraud notice and reminder, in the order of arrival."""
        self._read()
        mails, self._frauds = [*self._frauds, self._last], []
        for mail in mails:
            links = self._links_of(mail)
            # The last mail of the file may be incomplete: then it has fewer links, and a later call yields them. If
            # it is complete, a later call meets it again and skips it by its link.
            if len(links) == 2 and links["fraud"] not in self._known:
                self._known.add(links["fraud"])
                yield links

    def returned(self, kind: str = "") -> int:
        """Always 0: smtp-sink doesn't return mails."""
        return 0

    def return_mails(self, recipients: Sequence[str], port: int) -> bool:
        """Always False: smtp-sink doesn't return mails."""
        return False

    def _read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._position)
            while block := file.read(self._BLOCK_BYTES):
                self._position += len(block)
                data = self._last + block
                begins = [found.start() for found in self._BEGIN.finditer(data)] or [0]
                for begin, end in itertools.pairwise(begins):
                    self._ended += 1
                    if data.find(_MESSAGE_ID, begin, end) >= 0:
                        self._frauds.append(data[begin:end])
                self._last = data[begins[-1] :]

    @staticmethod
    def _links_of(mail: bytes) -> Links:
        text = email.message_from_bytes(mail, policy=email.policy.default).get_body(("plain",))
        return _links(text.get_content()) if text is not None and _MESSAGE_ID in mail else {}


def _links(text: str) -> Links:
    return {match[1]: match[0] for match in _LINK.finditer(text)}
