"""Signed return addresses that identify their mail (variable envelope return paths).

``bounces+<kind><transaction>.<signature>@bank.example``: the return address to which a mail is returned identifies the
mail, not the text of the returned mail. Nobody can forge bounces without a key. Return addresses are in lower case,
since mail servers may change the case.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import NamedTuple

from fraudstream.errors import SettingsError
from fraudstream.mail.letter.templates import Kind, MailTemplates
from fraudstream.settings import Settings

_LETTER_OF: dict[Kind, str] = {"notice": "n", "fraud_notice": "f", "receipt": "r"}
_KIND_OF = {letter: kind for kind, letter in _LETTER_OF.items()}
_SIGNATURE_BYTES = 10
_SHORTEST_KEY = 16
#: An id of a transaction that can be part of an address without encoding.
_PLAIN_ID = re.compile(r"[a-z0-9-]{1,36}", re.ASCII)
_TOKEN = re.compile(r"(?P<kind>[nfr])(?P<id>[a-z0-9-]{1,36})\.(?P<signature>[a-z2-7]{16})", re.ASCII)


class About(NamedTuple):
    """The mail that a return address identifies."""

    kind: Kind
    id_transaction: str


class ReturnAddresses:
    """Makes and reads return addresses.

    :raises SettingsError: the sender can't be used, a key is too short, or the address is too long to be extended
    """

    def __init__(self, settings: Settings) -> None:
        self._plain = MailTemplates(settings).envelope_sender
        self._local, _, self.domain = self._plain.lower().rpartition("@")
        self._keys = [key.get_secret_value().encode() for key in settings.mail_bounce_keys]
        if any(len(key) < _SHORTEST_KEY for key in self._keys):
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_BOUNCE_KEYS: each key needs {_SHORTEST_KEY} characters or more; "
                "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"
            )
        if self._keys and len(self._local) > 64 - 55:
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_ENVELOPE_SENDER is {self._plain!r}: its local part may have 9 characters at most, so"
                " that the mail's id and signature fit into an address. Expected something like bounces@bank.example"
            )
        if self._keys and len(self._plain) > 254 - 55:
            raise SettingsError(
                f"FRAUDSTREAM_MAIL_ENVELOPE_SENDER is {self._plain!r}: it has {len(self._plain)} characters. Expected"
                f" {254 - 55} at most, so that an address with the mail's id and signature has no more than 254"
            )

    @property
    def signed(self) -> bool:
        """Whether return addresses are signed: there is a key."""
        return bool(self._keys)

    def of(self, kind: Kind, id_transaction: str) -> str:
        """Returns the return address of a mail. It isn't signed without a key, or if the id has other characters."""
        if not self._keys or not _PLAIN_ID.fullmatch(id_transaction):
            return self._plain
        text = f"{_LETTER_OF[kind]}{id_transaction}"
        return f"{self._local}+{text}.{_signature(self._keys[0], text)}@{self.domain}"

    def read(self, address: str) -> About | None:
        """Returns the mail that an address identifies; None: its form or its signature isn't valid."""
        local, _, domain = address.strip().strip("<>").lower().rpartition("@")
        prefix, plus, token = local.partition("+")
        match = _TOKEN.fullmatch(token)
        if domain != self.domain or prefix != self._local or not plus or match is None:
            return None
        text = f"{match['kind']}{match['id']}"
        if not any(hmac.compare_digest(_signature(key, text), match["signature"]) for key in self._keys):
            return None
        return About(_KIND_OF[match["kind"]], match["id"])

    def find(self, addresses: Sequence[str]) -> About | None:
        """Returns the mail that the first valid one of these addresses identifies; None: no address is valid."""
        return next((about for address in addresses if (about := self.read(address)) is not None), None)


def _signature(key: bytes, text: str) -> str:
    digest = hmac.digest(key, b"fraudstream.return\0" + text.encode(), hashlib.sha256)
    return base64.b32encode(digest[:_SIGNATURE_BYTES]).decode().lower()
