"""Decides what the SMTP server does with each mail, and records it."""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.fakes.smtp import Fault, Stage


class SmtpFault(NamedTuple):
    """A fault at a stage of the SMTP conversation; reports use its `name`."""

    name: str
    stage: Stage
    answer: Fault | str


SMTP_FAULTS = (
    SmtpFault("answers 421 and closes", "RCPT", "421 shutting down"),
    SmtpFault("answers 451", "RCPT", "451 local error"),
    SmtpFault("answers 452", "DATA", "452 too little room"),
    SmtpFault("answers 550", "RCPT", "550 no such mailbox"),
    SmtpFault("drops after DATA, mail lost", "content", Fault.DROP),
    SmtpFault("drops after DATA, mail kept", "content", Fault.KEEP_AND_DROP),
    SmtpFault("stalls after DATA", "content", Fault.STALL),
)


class Delivery(NamedTuple):
    """A mail that the server accepted: its transaction, the time (seconds since 1970), whether its reply was lost."""

    id_transaction: str
    at: float
    reply_lost: bool


class Mailbox:
    """The script of a :class:`tests.fakes.smtp.FakeSmtpServer`; recipients are `<idTransaction>@example.com`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._fault: SmtpFault | None = None
        self._share = 0.0
        self.hits: Counter[str] = Counter()
        #: The faults that hit each transaction's mail.
        self.met: dict[str, list[str]] = defaultdict(list)
        self.deliveries: list[Delivery] = []

    @contextmanager
    def fault(self, fault: SmtpFault, share: float) -> Iterator[None]:
        """Injects the fault into this share of the mails during the context."""
        self._share, self._fault = share, fault
        try:
            yield
        finally:
            self._fault = None

    def __call__(self, stage: Stage, recipient: str) -> Fault | str | None:
        fault = self._fault
        id_transaction = recipient.partition("@")[0]
        answer = None
        if fault is not None and fault.stage == stage and self._random.random() < self._share:
            answer = fault.answer
            self.hits[fault.name] += 1
            self.met[id_transaction].append(fault.name)
        if stage == "content" and answer in {None, Fault.KEEP_AND_DROP}:
            self.deliveries.append(Delivery(id_transaction, time.time(), answer is not None))
        return answer
