"""A mail sink for tests: a real chain on a store in memory, and an outbox instead of a server."""

import gzip
import json
from collections import Counter
from collections.abc import Callable, Sequence
from email import message_from_bytes
from typing import Any

from fraudstream.errors import MailError
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.names import parse_object_name
from fraudstream.mail.letter.letters import Letter, LetterWriter
from fraudstream.mail.mail_log import Compacted
from fraudstream.mail.sink import MailSink
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.settings import Settings

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import PARTITION

OTHER = Partition(PARTITION.topic, PARTITION.number + 1)
FRAUD = Partition(FRAUD_TRANSACTION, 0)
ANSWERS = Partition(FRAUD_CONFIRMATION, 2)


class Links:
    def url(self, id_transaction: str, answer: str, language: str = "") -> str:
        return f"https://bank.example/confirm/{id_transaction}/{answer}{'?lang=' if language else ''}{language}"


class Outbox:
    """A server that accepts all mails, until it should `fail_after` a number of mails or give another `answer`."""

    def __init__(self) -> None:
        self.answer: Callable[[Mail], tuple[str, str]] = lambda mail: ("sent", "250 queued")
        self.sent: list[Mail] = []
        self.calls: list[int] = []
        self.fail_after: int | None = None
        self.closed = False

    def deliver(self, mails: Sequence[Mail]) -> None:
        self.calls.append(len(mails))
        for mail in mails:
            if self.fail_after is not None and len(self.sent) >= self.fail_after:
                raise MailError("stopped")
            self.sent.append(mail)
            mail.status, mail.reply = self.answer(mail)
            mail.attempts += 1
            mail.first_tried_at = mail.first_tried_at or 1_700_000_000.25
            mail.finished_at = 1_700_000_000.5

    def close(self) -> None:
        self.closed = True

    def message_ids(self) -> Counter[str]:
        return Counter(str(message_from_bytes(mail.content)["Message-ID"]) for mail in self.sent)


class FollowedUp:
    """Records what belongs to mails; `fail` is raised once instead."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.fail: Exception | None = None

    def done(self, letters: Sequence[Letter]) -> None:
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error
        self.letters += letters

    def of(self, status: str) -> list[int]:
        """The offsets of the letters with a status, with duplicates."""
        return [letter.offset for letter in self.letters if letter.mail.status == status]


class Bench:
    """Successive sinks on the same store and outbox, like restarted tasks."""

    def __init__(self, **values: Any) -> None:
        self.settings = Settings(**values)
        self.store = MemoryStore()
        self.outbox = Outbox()
        self.followed_up = FollowedUp()
        self.now = 0.0
        self.time_of_day: Callable[[], float] = lambda: 1_700_000_001.0
        self.sinks: list[MailSink] = []
        self.compacted: Compacted = lambda partition, start: (0, {})

    def start(self) -> MailSink:
        writer = LetterWriter(self.settings, Links())
        chain = AppendingChain(self.store, "email_confirmation", clock=lambda: self.now)
        sink = MailSink(
            writer,
            self.outbox,
            chain,
            self.followed_up,
            compacted=self.compacted,
            piece_rows=self.settings.mail_batch_rows,
            retry_hours=1_000_000,
            clock=lambda: self.now,
            time_of_day=self.time_of_day,
        )
        self.sinks.append(sink)
        return self.sinks[-1]

    def log(self) -> list[dict[str, Any]]:
        names = sorted(name for name in self.store.objects if parse_object_name(name))
        return [
            json.loads(line) for name in names for line in gzip.decompress(self.store.objects[name].data).splitlines()
        ]

    def logged(self, partition: Partition = PARTITION) -> list[int]:
        return sorted(line["offset"] for line in self.log() if line["partition"] == partition.number)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()
