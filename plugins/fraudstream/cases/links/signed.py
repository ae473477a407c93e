"""Signs and reads confirmation links, of which each mail has two.

A link is ``<confirmation_url>/confirm/<token>/<answer>``. The token holds the case's id and the time it was signed,
no personal data. Nobody can make or change a token without a key, and it expires after the case's time limit. Keys
rotate without breaking links that are already in inboxes: the first of `confirmation_keys` signs, all are accepted.
A link may name the language of its page, as ``?lang=id``.
A link is read whatever surrounds its token (:mod:`~fraudstream.cases.links.damaged`), but the token must be complete.

A second kind of token, the page token, is in the form of the page that a link opens. It proves that a POST comes from
a page that this site made for the same case a short while ago. A third kind, the answer token, is in the address to
which the browser is redirected after its answer was written. A process that hasn't read the answer yet then waits for
it.
"""

import hashlib
import hmac
import ipaddress
import re
import time
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeGuard, get_args
from urllib.parse import urlsplit

from itsdangerous import BadData, TimestampSigner
from itsdangerous.encoding import base64_decode, base64_encode, want_bytes

from fraudstream.cases.links.damaged import LONGEST_LOOK, tokens_in
from fraudstream.errors import LinkError, LinkExpired, SettingsError
from fraudstream.settings import PUBLISHED_KEY, Settings

#: An answer that a link proposes or that a button of the page gives.
Proposal = Literal["fraud", "not-fraud"]
PROPOSALS: frozenset[str] = frozenset(get_args(Proposal))

#: How long a page may be open. After that, its customer has to press a button again.
PAGE_SECONDS = 3600
#: How much the clocks of the signing and of the reading machine may differ.
CLOCK_SKEW_SECONDS = 600
#: Longer tokens are refused unread; the site's tokens have fewer than 200 characters.
LONGEST_TOKEN = 512
SHORTEST_KEY = 16
_LANGUAGE = re.compile(r"(?:^|&)lang=([a-z]{2,3})(?![a-z])", re.ASCII | re.IGNORECASE)


def shown(token: str) -> str:
    """A token as logs may show it: its beginning and its length, never the part that makes it valid."""
    return f"{token[:8]!a}... of {len(token)} characters"


def is_loopback(host: str) -> bool:
    """Whether `host` is a loopback address, which only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_proposal(text: str) -> TypeGuard[Proposal]:
    """Whether `text` is an answer that a link may propose."""
    return text in PROPOSALS


@dataclass(frozen=True, slots=True)
class Link:
    """A link that was opened, with a valid signature."""

    token: str
    case: str
    #: None: the link has lost its answer.
    proposal: Proposal | None
    #: Whether the case's time limit has passed since it was signed.
    expired: bool
    #: Language of the page; empty: the link names none.
    language: str = ""

    @property
    def query(self) -> str:
        """The link's query, with the question mark; empty if the link names no language."""
        return f"?lang={self.language}" if self.language else ""


class Links:
    """Makes and reads the links of one confirmation site; safe to use from any thread.

    :raises SettingsError: no key, a key that is too short, the example key on an address that others reach, or an
        address that is not an http(s) URL
    """

    def __init__(self, settings: Settings) -> None:
        self._base = settings.confirmation_url.rstrip("/")
        self._seconds = settings.confirmation_time_limit_seconds
        keys = [key.get_secret_value() for key in settings.confirmation_keys]
        self._refuse_unusable(keys)
        newest_last = list(reversed(keys))
        self._link = _Signer(newest_last, salt="fraudstream.link", digest_method=hashlib.sha256)
        self._page = _Signer(newest_last, salt="fraudstream.page", digest_method=hashlib.sha256)
        self._answered = _Signer(newest_last, salt="fraudstream.answered", digest_method=hashlib.sha256)

    def url(self, id_transaction: str, answer: Proposal, language: str = "") -> str:
        """The link that proposes `answer` for a case, valid from now for the case's time limit.

        :param language: language of the page; empty: the one that the browser prefers
        :raises ValueError: `answer` isn't one of :data:`PROPOSALS`
        """
        if not is_proposal(answer):
            raise ValueError(f"a link proposes one of {get_args(Proposal)}, not {answer!r}")
        query = f"?lang={language}" if language else ""
        return f"{self._base}/confirm/{_sign(self._link, id_transaction)}/{answer}{query}"

    def find(self, target: str) -> "Link":
        """Returns the link in a request's path and query, even if it was damaged or wrapped.

        :raises LinkError: there is no complete token with a valid signature
        """
        refused: LinkError | None = None
        for token, answer in tokens_in(target):
            try:
                case, expired = self._read(token)
            except LinkError as error:
                refused = error
            else:
                proposal = answer if answer is not None and is_proposal(answer) else None
                return Link(token, case, proposal, expired, language_in(target.partition("?")[2]))
        raise refused or LinkError(f"target of {len(target)} characters contains no token")

    def read(self, token: str) -> str:
        """Returns the id of the case that a link's token was made for.

        :raises LinkExpired: the token is valid, but older than the time limit
        :raises LinkError: the token is forged, changed, cut off, or signed with a key that is no longer listed
        """
        case, expired = self._read(token)
        if expired:
            raise LinkExpired(f"token {shown(token)} is older than {self._seconds} s")
        return case

    def page_token(self, id_transaction: str) -> str:
        """Returns the page token of a case, for a hidden field of its page."""
        return _sign(self._page, id_transaction)

    def check_page_token(self, token: str, id_transaction: str) -> None:
        """Checks that `token` is from a page of this case that isn't too old.

        :raises LinkExpired: the page is older than :data:`PAGE_SECONDS`
        :raises LinkError: the token isn't a page token of this case
        """
        case, age = _read(self._page, token)
        if case != id_transaction:
            raise LinkError(f"page token {shown(token)} belongs to the page of another case")
        if age > PAGE_SECONDS:
            raise LinkExpired(f"page token {shown(token)} is older than {PAGE_SECONDS} s")

    def path(self, link: "Link") -> str:
        """Returns the path and query of a link as it was sent."""
        return f"{_path(link)}{link.query}"

    def answered_path(self, link: "Link") -> str:
        """Returns the link's path and query with an answer token, for the redirect after an answer was written."""
        query = f"{link.query}&" if link.query else "?"
        return f"{_path(link)}{query}answered={_sign(self._answered, link.case)}"

    def is_answered(self, token: str, id_transaction: str) -> bool:
        """Whether `token` is an answer token of this case, at most :data:`PAGE_SECONDS` old."""
        try:
            case, age = _read(self._answered, token)
        except LinkError:
            return False
        return case == id_transaction and age <= PAGE_SECONDS

    def _read(self, token: str) -> tuple[str, bool]:
        case, age = _read(self._link, token)
        return case, age > self._seconds

    def _refuse_unusable(self, keys: list[str]) -> None:
        address = urlsplit(self._base)
        if address.scheme not in {"http", "https"} or not address.hostname:
            raise SettingsError(
                f"FRAUDSTREAM_CONFIRMATION_URL is {self._base!r}; expected http(s)://host[:port] of the site"
            )
        if not keys or min(map(len, keys)) < SHORTEST_KEY:
            raise SettingsError(
                f"FRAUDSTREAM_CONFIRMATION_KEYS needs at least one key, each of {SHORTEST_KEY} characters or more; "
                "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"
            )
        if any(PUBLISHED_KEY in key.lower() for key in keys) and not is_loopback(address.hostname):
            raise SettingsError(
                "FRAUDSTREAM_CONFIRMATION_KEYS holds an example key, which anyone can read in the source, while "
                f"FRAUDSTREAM_CONFIRMATION_URL is {self._base!r}; set a key of your own for any address but loopback: "
                "`python -c 'import secrets; print(secrets.token_urlsafe(32))'` makes one"
            )


class _Signer(TimestampSigner):
    """Derives the key of a secret once, and not for each token; accepts a signature only as the Base64 that it writes.

    Base64 leaves two bits of a signature's last character unused, so four texts decode to the same bytes.
    """

    @cache  # noqa: B019  three signers for the life of the process, some secrets each
    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        """Returns the key with which tokens are signed."""
        return super().derive_key(secret_key)

    def verify_signature(self, value: str | bytes, sig: str | bytes) -> bool:
        """Whether one of the keys made this signature. Compares the Base64 texts in constant time."""
        signed, written = want_bytes(value), want_bytes(sig)
        keys = (self.derive_key(secret) for secret in reversed(self.secret_keys))
        return any(
            hmac.compare_digest(base64_encode(self.algorithm.get_signature(key, signed)), written) for key in keys
        )


def language_in(query: str) -> str:
    """Returns the language that a link's query names, even if more was appended; empty: it names none."""
    match = _LANGUAGE.search(query[:LONGEST_LOOK])
    return match[1].lower() if match else ""


def _path(link: Link) -> str:
    return f"/confirm/{link.token}/{link.proposal or ''}"


def _sign(signer: TimestampSigner, id_transaction: str) -> str:
    return signer.sign(base64_encode(id_transaction)).decode()


def _read(signer: TimestampSigner, token: str) -> tuple[str, float]:
    """Returns the signed text and its age in seconds."""
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise LinkError(f"token {shown(token)} is none of ours")
    try:
        signed, signed_at = signer.unsign(token, return_timestamp=True)
    except BadData:
        raise LinkError(f"token {shown(token)} is signed by no current key") from None
    age = time.time() - signed_at.timestamp()
    if age < -CLOCK_SKEW_SECONDS:
        raise LinkError(
            f"token {shown(token)} is signed {-age:.0f} s in the future, where at most {CLOCK_SKEW_SECONDS} s may lie "
            "between two machines' clocks: set the clock of the machine that sends the mails, or of this one"
        )
    try:
        return base64_decode(signed).decode(), age
    except (BadData, UnicodeDecodeError):
        raise LinkError(f"token {shown(token)} has a valid signature, but no case id") from None
