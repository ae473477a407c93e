"""Mails that a server deferred: topic mail_retry stores them, and they are tried again for hours.

Each partition has its own waiting time (``MAIL_RETRY_WAITS``). A mail waits five minutes the first time, and longer
each time after. All records of a partition wait equally long, so they are due in the order of their offsets, and no
record waits for an earlier one. The reader is an ordinary member of a consumer group with the mail sink. A mail that is
deferred again goes to the next partition.
"""

import base64
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import pyarrow as pa

from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.avro.valid_records import storable
from fraudstream.kafka.client.confirmed_producer import ConfirmedProducer, Outgoing
from fraudstream.kafka.records import MAIL_RETRY, MAIL_RETRY_WAITS, Batch, Partition, Sink
from fraudstream.mail.letter.letters import Letter, LetterWriter
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.settings import Settings


class RetryQueue:
    """Writes to topic mail_retry. To be used from one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codec = Codec.for_topic(MAIL_RETRY, settings)
        self._sources: dict[str, Codec] = {}
        self._producer = ConfirmedProducer(settings, MAIL_RETRY)

    def put(self, letters: Sequence[Letter]) -> None:
        """Queues deferred letters. Returns once the brokers have confirmed all of them.

        A letter that is queued twice is tried once.

        :raises KafkaError: a letter wasn't confirmed
        :raises SchemaRegistryError: the registry doesn't answer at the first use
        """
        self._producer.write(self._record(letter) for letter in letters)

    def send_again(self, *letters: Letter) -> None:
        """Queues letters with a `resend` in the partition without a waiting time. A letter queued twice is sent once.

        :raises KafkaError: a letter wasn't confirmed
        :raises SchemaRegistryError: the registry doesn't answer at the first use
        """
        self._producer.write(self._outgoing(letter, 0, 0, time.time(), letter.resend) for letter in letters)

    def _record(self, letter: Letter) -> Outgoing:
        deferrals = letter.deferrals + 1
        return self._outgoing(letter, deferrals, min(deferrals, len(MAIL_RETRY_WAITS) - 1), time.time(), letter.resend)

    def _outgoing(self, letter: Letter, deferrals: int, partition: int, now: float, resend: str) -> Outgoing:
        topic, number = letter.about.partition
        try_id = f"{letter.message_id}/{deferrals}"
        record = {
            "tryId": try_id,
            "idTransaction": letter.id_transaction,
            "dueAt": _time(now + MAIL_RETRY_WAITS[partition]),
            "deferrals": deferrals,
            "attempts": letter.mail.attempts,
            "unanswered": letter.mail.unanswered,
            "firstTriedAt": _time(letter.mail.first_tried_at or now),
            "resend": resend,
            "until": None if letter.until is None else _time(letter.until / 1000),
            "reply": storable(letter.mail.reply),
            "kind": letter.kind,
            "topic": topic,
            "partition": number,
            "offset": int(letter.about.offsets[letter.row]),
            "recordTimestamp": _time(letter.record_timestamp / 1000),
            "value": base64.b64encode(self._source(topic).encode_rows(letter.record)[0].as_py()).decode(),
        }
        return Outgoing(try_id.encode(), self._codec.encode(record), partition)

    def _source(self, topic: str) -> Codec:
        if topic not in self._sources:
            self._sources[topic] = Codec.for_topic(topic, self._settings)
        return self._sources[topic]


class RetryWriter:
    """Writes the letters of the records of mail_retry: the same mail again, with the counts of its earlier tries."""

    def __init__(self, writer: LetterWriter, codec_of: Callable[[str], Codec]) -> None:
        self._writer = writer
        self._codec_of = codec_of
        self._codecs: dict[str, Codec] = {}

    def letters(self, batch: Batch) -> list[Letter]:
        """Returns a letter for each record, in offset order; a failed one if the mail's source can't be decoded."""
        return [self._letter(batch, index, row) for index, row in enumerate(batch.rows.to_pylist())]

    def close(self) -> None:
        """Does nothing: there are no resources to release."""

    def _letter(self, batch: Batch, index: int, row: Mapping[str, Any]) -> Letter:
        offset, timestamp = int(batch.offsets[index]), int(batch.timestamps[index])
        about = Partition(row["topic"], row["partition"])
        if about.topic not in self._codecs:
            self._codecs[about.topic] = self._codec_of(about.topic)
        rows, bad = self._codecs[about.topic].decode_rows(pa.array([base64.b64decode(row["value"])], pa.binary()))
        if bad:
            reply = f"{about} offset {row['offset']} can't be read: {bad[0].reason}"
            unreadable = Mail("", b"", status="failed", reply=reply, finished_at=time.time())
            identity = row["tryId"].rpartition("/")[0]
            return Letter(unreadable, row["idTransaction"], row["kind"], identity, offset, timestamp, batch, index)
        written = int(row["recordTimestamp"].replace(tzinfo=UTC).timestamp() * 1000)
        source = Batch(about, np.array([row["offset"]]), np.array([written]), rows, row["offset"] + 1)
        until = None if row["until"] is None else int(row["until"].replace(tzinfo=UTC).timestamp() * 1000)
        (letter,) = self._writer.letters(source, row["resend"], until)
        letter.mail.attempts, letter.mail.unanswered = row["attempts"], row["unanswered"]
        if row["attempts"]:
            # At most the time of the record itself: with a time in the future, from a clock that was ahead, the mail
            # would be given up too late.
            first_tried_at = row["firstTriedAt"].replace(tzinfo=UTC).timestamp()
            letter.mail.first_tried_at = min(first_tried_at, timestamp / 1000)
        return replace(letter, offset=offset, timestamp=timestamp, deferrals=row["deferrals"])


class WhenDue:
    """A sink on mail_retry that passes records to another sink when they are due, in offset order.

    Records that aren't due when the run ends are left to the next run: their offsets are not reported as done.
    """

    def __init__(self, inner: Sink, clock: Callable[[], float] = time.time) -> None:
        self._inner = inner
        self._clock = clock
        self._held: dict[Partition, deque[Batch]] = {}

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        """Returns the inner sink's start offset."""
        self._held[partition] = deque()
        return self._inner.assigned(partition, committed)

    def write(self, batch: Batch) -> None:
        """Keeps records until they are due."""
        self._held[batch.partition].append(batch)
        self._release()

    def due(self) -> bool:
        """Passes on records that are due, and returns whether the inner sink is due."""
        self._release()
        return self._inner.due()

    def flush(self) -> dict[Partition, int]:
        """Passes on records that are due, flushes the inner sink and returns its next offsets."""
        self._release()
        return self._inner.flush()

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Drops the waiting records of these partitions, and revokes them from the inner sink."""
        for partition in partitions:
            self._held.pop(partition, None)
        self._inner.revoked(partitions)

    def close(self) -> None:
        """Closes the inner sink."""
        self._inner.close()

    def _release(self) -> None:
        now = int(self._clock() * 1000)
        for held in self._held.values():
            while held:
                batch = held[0]
                due = _due(batch)
                ready = next((index for index, at in enumerate(due) if at > now), len(due))
                if ready == len(due):
                    self._inner.write(held.popleft())
                    continue
                if ready:
                    self._inner.write(batch.head(ready))
                    held[0] = batch.since(int(batch.offsets[ready]))
                break


def _due(batch: Batch) -> list[int]:
    """Returns when each record is due, in ms since 1970: at `dueAt`, but at the latest after its partition's wait.

    `dueAt` is from the clock of the machine that wrote the record. If this clock is ahead, the record must not delay
    the records after it.
    """
    due, number = batch.rows["dueAt"].cast(pa.int64()).to_numpy(), batch.partition.number
    if number < len(MAIL_RETRY_WAITS):
        due = np.minimum(due, batch.timestamps + MAIL_RETRY_WAITS[number] * 1000)
    return cast(list[int], due.tolist())


def give_up(letters: Sequence[Letter], hours: float, now: float) -> None:
    """Fails deferred letters that were first tried at least `hours` before `now` (seconds since 1970)."""
    for letter in letters:
        mail = letter.mail
        if mail.status == "deferred" and mail.first_tried_at and now - mail.first_tried_at >= hours * 3600:
            mail.status = "failed"
            mail.reply = f"given up after {hours:g} hours: {mail.reply}"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
