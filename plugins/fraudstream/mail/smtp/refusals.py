"""Classifies refusals: they concern the session or server, the account, or one mailbox.

A single reply is rarely enough. Otherwise the replies to other mails decide. A server that answers 4xx to all
recipients is busy, throttles or has a quota. A server that answers the same 5xx to nearly all doesn't relay for this
account. If it refuses one recipient and accepts others, the refusal concerns one mailbox. So refusals are collected in
a group until :data:`_GROUP` mails have a reply or no other mail is in flight.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from fraudstream.mail.smtp.conversation import Mail, Stage

#: Number of mails whose replies are evaluated together.
_GROUP = 20
#: Minimum number of refusals for a verdict about all mails; a smaller one is enough if the replies name the cause.
_MANY, _MANY_NAMED = 10, 3
#: Minimum share of like refusals for a verdict about the account. The others may have causes of their own.
_NEARLY_ALL = 0.9
#: Minimum share of refused mails for a verdict that the server throttles: at full rate, and at a lowered rate.
_SHARE, _SHARE_SLOWED = 0.5, 0.1
#: Reply codes by which a server requires or refuses a login, at any command (RFC 4954).
_LOGIN = {530, 534, 535, 538}
_NO_RELAY = re.compile(r"relay|authenticat|not logged in", re.IGNORECASE)
_GREYLISTED = re.compile(r"gr[ea]y-?list", re.IGNORECASE)
#: Enhanced status codes (RFC 3463) that concern the address itself.
_UNKNOWN_MAILBOX = re.compile(r"5\.1\.\d")


class About(Enum):
    """What a refusal concerns."""

    SESSION = auto()
    ACCOUNT = auto()
    MAILBOX_FOR_NOW = auto()
    MAILBOX_FOR_GOOD = auto()
    UNDECIDED = auto()


def about(stage: Stage, code: int, reply: str, *, fresh: bool) -> About:
    """Classifies a single refusal.

    :param fresh: whether no mail was accepted on the connection; otherwise it may have reached its limit of mails
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
    """The verdict about a group: its mails by the cause of the refusal, each with its reply."""

    deferred: list[tuple[Mail, str]] = field(default_factory=list)
    failed: list[tuple[Mail, str]] = field(default_factory=list)
    #: The server accepted few other mails or none.
    throttled: list[tuple[Mail, str]] = field(default_factory=list)
    #: The server accepts no mails from this account.
    account: list[tuple[Mail, str]] = field(default_factory=list)


class Refusals:
    """The refusals that aren't decided yet, and the number of mails that were accepted in the same group."""

    def __init__(self) -> None:
        self._accepted = 0
        self._later: list[tuple[Mail, str]] = []
        self._never: list[tuple[Mail, str]] = []
        #: A 5xx code, and the number of mails refused with it since the last accepted mail, over all deliveries.
        self._same: tuple[str, int] = ("", 0)

    def __len__(self) -> int:
        """The number of mails that wait for a verdict."""
        return len(self._later) + len(self._never)

    @property
    def full(self) -> bool:
        """Whether the group has enough replies for a verdict."""
        return len(self) + self._accepted >= _GROUP

    def accepted(self) -> None:
        """Counts an accepted mail."""
        self._accepted += 1
        self._same = ("", 0)
        if self.full and not len(self):
            self._accepted = 0

    def refused(self, mail: Mail, code: int, reply: str) -> None:
        """Adds a mail whose refusal isn't decided."""
        (self._later if code < 500 else self._never).append((mail, reply))

    def forget(self) -> None:
        """Begins a new group without a verdict about the current one."""
        self._accepted = 0
        self._later, self._never = [], []

    def verdict(self, *, slowed: bool) -> Verdict:
        """Returns the verdict about the group and begins a new one; `slowed`: the rate was lowered before."""
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
        """Whether the 5xx concern the account: nearly all name the cause, or nearly all mails got the same code."""
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
    """Returns the most frequent reply, for the log."""
    replies = [reply for _, reply in refused]
    return max(set(replies), key=replies.count)
