"""Topic mail_retry in memory, with a clock, and the sink that retries its mails."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from fraudstream.cases.answers.first_answer_sink import FirstAnswers
from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.client.confirmed_producer import Outgoing
from fraudstream.kafka.records import MAIL_RETRY, MAIL_RETRY_WAITS, Batch, Partition
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.mail.letter.letters import Letter, LetterWriter
from fraudstream.mail.retries import RetryQueue, RetryWriter, WhenDue
from fraudstream.mail.sink import MailSink
from fraudstream.mail.smtp.conversation import Mail

from tests.unit.lake.rows import PARTITION, batch, row
from tests.unit.mail.bench import Bench, Links

MINUTE, HOUR = 60.0, 3600.0
#: 2023-11-14T22:13:20Z, the time of the outbox's first try.
NOON = 1_700_000_000.0


class AnySchema:
    """A registry with each topic's own schema, and with `older` ones."""

    def __init__(self) -> None:
        self.older: dict[int, RegisteredSchema] = {}

    def identifier(self, topic: str, schema: str) -> int:
        return 7

    def schema(self, identifier: int, topic: str) -> RegisteredSchema | None:
        return self.older.get(identifier) or RegisteredSchema(schema_text(topic))


class Clock:
    """A clock that only tests advance."""

    now = NOON

    def __call__(self) -> float:
        return self.now


class RetryTopic:
    """Topic mail_retry in memory, and the follow-up of its mails."""

    def __init__(self, bench: Bench, clock: Clock) -> None:
        self.bench = bench
        self.clock = clock
        self.partitions: list[list[tuple[int, bytes]]] = [[] for _ in MAIL_RETRY_WAITS]
        self.committed = [0] * len(MAIL_RETRY_WAITS)
        self.fail_after_writing: Exception | None = None
        self.queue = RetryQueue(bench.settings)
        self.codec = Codec(MAIL_RETRY, AnySchema())  # type: ignore[arg-type]

    def write(self, records: Sequence[Outgoing]) -> None:
        """Writes records as the producer does."""
        for record in records:
            self.partitions[record.partition].append((int(self.clock() * 1000), record.value))

    def done(self, letters: Sequence[Letter]) -> None:
        """Writes deferred letters as the follow-up does."""
        self.queue.put([letter for letter in letters if letter.mail.status == "deferred"])
        if self.fail_after_writing is not None:
            error, self.fail_after_writing = self.fail_after_writing, None
            raise error

    def sink(self) -> FirstAnswers:
        """The sink of DAG retry_mails."""
        writer = LetterWriter(self.bench.settings, Links())
        sink = MailSink(
            RetryWriter(writer, lambda topic: Codec(topic, AnySchema())),  # type: ignore[arg-type]
            self.bench.outbox,
            AppendingChain(self.bench.store, "email_confirmation"),
            self,
            piece_rows=self.bench.settings.mail_batch_rows,
            retry_hours=self.bench.settings.mail_retry_hours,
        )
        self.bench.sinks.append(sink)
        return FirstAnswers(WhenDue(sink, self.clock), "tryId")

    def run(self) -> None:
        """A run of the DAG: sends all mails that are due; reads each partition from the start, as the sink requests."""
        sink = self.sink()
        for number in range(len(self.partitions)):
            sink.assigned(Partition(MAIL_RETRY, number), self.committed[number])
        for number, records in enumerate(self.partitions):
            if records:
                rows, bad = self.codec.decode_rows(pa.array([value for _, value in records], pa.binary()))
                assert not bad
                times = np.array([at for at, _ in records])
                partition = Partition(MAIL_RETRY, number)
                sink.write(Batch(partition, np.arange(len(records)), times, rows, len(records)))
        for partition, offset in sink.flush().items():
            self.committed[partition.number] = offset

    def statuses(self) -> dict[str, list[str]]:
        """The status of each line of the log, by Message-ID."""
        found: dict[str, list[str]] = {}
        for line in self.bench.log():
            found.setdefault(line["messageId"], []).append(line["status"])
        return found


def send(bench: Bench, count: int, committed: int | None = None, **values: Any) -> None:
    sink = bench.start()
    start = sink.assigned(PARTITION, committed) or 0
    offsets = range(start, count)
    sink.write(batch(offsets, rows=[row(offset, **values) for offset in offsets]))
    sink.flush()


def greylisting(clock: Clock, seconds: float) -> Callable[[Mail], tuple[str, str]]:
    first: dict[str, float] = {}

    def answer(mail: Mail) -> tuple[str, str]:
        taken = clock.now - first.setdefault(mail.recipient, clock.now) >= seconds
        return ("sent", "250 queued") if taken else ("deferred", "450 4.2.0 greylisted")

    return answer
