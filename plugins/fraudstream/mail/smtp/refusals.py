"""What a refusal is about: the session or server, the account, or one mailbox.

A single reply says it in few cases. Where it doesn't, the replies to the mails around it do: a server that answers
4xx to every recipient is busy, throttles or has a quota; one that answers the same 5xx to nearly all doesn't
relay for this account; one recipient among others that are taken is one mailbox. So refusals wait in a group until
:data:`_GROUP` mails have an answer or no other mail is on its way.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from fraudstream.mail.smtp.conversation import Mail, Stage

#: Mails whose replies are looked at together.
_GROUP = 20
#: Refused mails in a group, at least, for a verdict about all; with words that name the cause, fewer are enough.
_MANY, _MANY_NAMED = 10, 3
#: Share of refusals that are about the account if they are alike: a few mailboxes may be refused for another cause.
_NEARLY_ALL = 0.9
#: Share of refused mails that is the server's doing: at full speed, and after it was slowed down.
_SHARE, _SHARE_SLOWED = 0.5, 0.1
#: Replies by which a server asks for a login, at any command (RFC 4954).
_LOGIN = {530, 534, 535, 538}
_NO_RELAY = re.compile(r"relay|authenticat|not logged in", re.IGNORECASE)
_GREYLISTED = re.compile(r"gr[ea]y-?list", re.IGNORECASE)
#: Enhanced status codes (RFC 3463) about the address itself.
_UNKNOWN_MAILBOX = re.compile(r"5\.1\.\d")


class About(Enum):
    """What a refusal is about."""

    SESSION = auto()
    ACCOUNT = auto()
    MAILBOX_FOR_NOW = auto()
    MAILBOX_FOR_GOOD = auto()
    UNDECIDED = auto()


def about(stage: Stage, code: int, reply: str, *, fresh: bool) -> About:
    """What one refusal says by itself.

    :param fresh: whether the connection hasn't taken a mail yet: a used one may have come to its limit of mails
    """
    if code in _LOGIN:
        return About.ACCOUNT
    if code == 421 or (stage is Stage.MAIL and (code < 500 or not fresh)):
        return About.SESSION
    if stage is Stage.MAIL:
        return About.ACCOUNT
    if code < 500 and _GREYLISTED.search(reply):
        return About.MAILBOX_FOR_NOW
    if code >= 500 and _UNKNOWN_MAILBOX.search(reply):
        return About.MAILBOX_FOR_GOOD
    return About.UNDECIDED


@dataclass(slots=True)
class Verdict:
    """What became clear of a group: the mails by what they were refused for, each with its reply."""

    deferred: list[tuple[Mail, str]] = field(default_factory=list)
    failed: list[tuple[Mail, str]] = field(default_factory=list)
    #: As the server took few others or none.
    throttled: list[tuple[Mail, str]] = field(default_factory=list)
    #: As the server took none of this account's.
    account: list[tuple[Mail, str]] = field(default_factory=list)


class Refusals:
    """Refusals that aren't decided yet, and how the mails beside them fared."""

    def __init__(self) -> None:
        self._accepted = 0
        self._later: list[tuple[Mail, str]] = []
        self._never: list[tuple[Mail, str]] = []
        #: Mails refused with one and the same 5xx since the last one that was taken, over all deliveries.
        self._same: tuple[str, int] = ("", 0)

    def __len__(self) -> int:
        """Mails that wait for a verdict."""
        return len(self._later) + len(self._never)

    @property
    def full(self) -> bool:
        """Whether enough is known for a verdict."""
        return len(self) + self._accepted >= _GROUP

    def accepted(self) -> None:
        """A mail was taken."""
        self._accepted += 1
        self._same = ("", 0)
        if self.full and not len(self):
            self._accepted = 0

    def refused(self, mail: Mail, code: int, reply: str) -> None:
        """A mail was refused, and it isn't clear why."""
        (self._later if code < 500 else self._never).append((mail, reply))

    def forget(self) -> None:
        """The mails of the group are given up for now."""
        self._accepted = 0
        self._later, self._never = [], []

    def verdict(self, *, slowed: bool) -> Verdict:
        """Decides about the group and begins a new one; `slowed`: mails already go slower than they might."""
        found = Verdict()
        refused = len(self)
        share = len(self._later) / (refused + self._accepted) if refused else 0.0
        many = len(self._later) >= (1 if slowed and self._accepted else _MANY)
        if many and share >= (_SHARE_SLOWED if slowed else _SHARE):
            found.throttled = self._later
        else:
            found.deferred = self._later
        if self._refused_alike():
            found.account = self._never
        else:
            found.failed = self._never
        self.forget()
        return found

    def _refused_alike(self) -> bool:
        """Whether the 5xx are about the account: nearly all name the cause, or nearly all mails got the same one."""
        if not self._never or self._accepted:
            return False
        named = sum(bool(_NO_RELAY.search(reply)) for _, reply in self._never) >= _NEARLY_ALL * len(self._never)
        ((code, alike),) = Counter(reply[:3] for _, reply in self._never).most_common(1)
        if not named and alike < _NEARLY_ALL * len(self):
            self._same = ("", 0)
            return False
        before = self._same[1] if self._same[0] == code else 0
        self._same = (code, before + (len(self._never) if named else alike))
        return self._same[1] >= (_MANY_NAMED if named else _MANY)


def replies_of(refused: Sequence[tuple[Mail, str]]) -> str:
    """The reply that most of the mails got, for the log."""
    replies = [reply for _, reply in refused]
    return max(set(replies), key=replies.count)
