"""The format of dead letters on their topic, and reading all of them.

The record's own headers come first, then those of the letter: topic, partition, offset, timestamp, cut and reason. A
record with the header `redriven` is not a letter but a marker: the letter with the same topic, partition, offset and
timestamp was produced again.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from confluent_kafka import Message

from fraudstream.errors import RecordError
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.definitions import dead_letter_topic
from fraudstream.kafka.topic.topic_reader import TopicReader
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

Header = tuple[str, bytes | None]
#: Maximum bytes of a letter's parts. Together they are below the default limit of clients and brokers (1 MB).
_KEY_BYTES, _VALUE_BYTES, _HEADER_BYTES, _REASON = 50_000, 900_000, 20_000, 2_000
_REDRIVEN = "redriven"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An invalid record of `partition`, and why it is one.

    `timestamp` is the record's, ms since 1970, and None in letters of older versions. `cut` isn't empty if key or value
    are truncated or the record's headers are omitted; it has their sizes. `written_at` and `redriven_at` (ms since
    1970) are the times at which the letter was written and produced again.
    """

    partition: Partition
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header]
    reason: str
    cut: str = ""
    written_at: int = 0
    redriven_at: int | None = None

    @property
    def kind(self) -> str:
        """The reason up to its first colon, without the details of this record."""
        return self.reason.partition(":")[0]

    def __str__(self) -> str:
        return f"{self.partition} offset {self.offset}"

    @property
    def _place(self) -> dict[str, object]:
        """Headers that identify the record. After a topic is recreated, another record may have the same offset."""
        place = {"topic": self.partition.topic, "partition": self.partition.number, "offset": self.offset}
        return place if self.timestamp is None else place | {"timestamp": self.timestamp}

    def to_message(self) -> dict[str, Any]:
        """Topic, key, value and headers of the letter. Too large parts are truncated or omitted."""
        own = self._place
        header_bytes = sum(len(name.encode()) + len(value or b"") for name, value in self.headers)
        too_large = len(self.key or b"") > _KEY_BYTES or len(self.value or b"") > _VALUE_BYTES
        if too_large or header_bytes > _HEADER_BYTES:
            own["cut"] = (
                f"key of {len(self.key or b'')} bytes, value of {len(self.value or b'')} bytes, "
                f"{len(self.headers)} headers of {header_bytes} bytes"
            )
        kept = self.headers if header_bytes <= _HEADER_BYTES else ()
        own["reason"] = self.reason[:_REASON]
        return {
            "topic": dead_letter_topic(self.partition.topic),
            "key": None if self.key is None else self.key[:_KEY_BYTES],
            "value": None if self.value is None else self.value[:_VALUE_BYTES],
            "headers": [*kept, *((name, str(value).encode()) for name, value in own.items())],
        }

    def to_marker(self, now: int) -> dict[str, Any]:
        """The message that marks this letter as produced again."""
        headers = [(name, str(value).encode()) for name, value in (self._place | {_REDRIVEN: now}).items()]
        return {"topic": dead_letter_topic(self.partition.topic), "headers": headers}

    @classmethod
    def of(cls, message: Message) -> Self:
        """Inverse of :meth:`to_message`. For a marker, returns a letter without content but with `redriven_at`.

        :raises RecordError: the message is neither a letter nor a marker
        """
        headers: list[Header] = list(message.headers() or [])
        first = max((index for index, (name, _) in enumerate(headers) if name == "topic"), default=len(headers))
        try:
            own = {name: (value or b"").decode() for name, value in headers[first:]}
            return cls(
                Partition(own["topic"], int(own["partition"])),
                int(own["offset"]),
                int(own["timestamp"]) if "timestamp" in own else None,
                message.key(),
                message.value(),
                headers[:first],
                own.get("reason", ""),
                own.get("cut", ""),
                message.timestamp()[1],
                int(own[_REDRIVEN]) if _REDRIVEN in own else None,
            )
        except (KeyError, ValueError) as error:
            raise RecordError(
                f"{message.topic()}[{message.partition()}] offset {message.offset()} has no usable headers topic, "
                f"partition and offset ({error!r}): something else than this pipeline writes to the dead-letter topic"
            ) from error

    @classmethod
    def of_rejected_row(cls, message: Message) -> Self:
        """The letter of a source file's row that failed its checks; partition and offset are the message's own."""
        headers: list[Header] = list(message.headers() or [])
        reason = (dict(headers).get("reason") or b"").decode(errors="replace")
        place = Partition(message.topic() or "", message.partition() or 0)
        written = message.timestamp()[1]
        return cls(place, message.offset() or 0, None, None, message.value(), headers, reason, written_at=written)


def letters_of(messages: Iterable[Message]) -> Iterator[DeadLetter]:
    """The letters and markers among a dead-letter topic's records.

    Records that another program wrote are logged and skipped. They stay on the topic, and every group of the source
    topic reads the whole topic, so an error here would stop the groups permanently.
    """
    for message in messages:
        try:
            yield DeadLetter.of(message)
        except RecordError as error:
            log.warning("passed over: %s", error)


def read_dead_letters(settings: Settings, topic: str) -> list[DeadLetter]:
    """The dead letters of a topic, one for each record, in the order in which they were written.

    :raises KafkaError: the topic can't be read
    """
    letters: dict[tuple[Partition, int, int | None], DeadLetter] = {}
    times: dict[tuple[Partition, int], set[int | None]] = defaultdict(set)
    with TopicReader(settings, dead_letter_topic(topic)) as reader:
        for letter in letters_of(reader.read()):
            place = letter.partition, letter.offset
            if letter.redriven_at is None:
                letters.setdefault((*place, letter.timestamp), letter)
                times[place].add(letter.timestamp)
                continue
            # A marker of an older version doesn't say which record it is about.
            for time in times[place] & {letter.timestamp} if letter.timestamp is not None else times[place]:
                letters[*place, time] = replace(letters[*place, time], redriven_at=letter.redriven_at)
    return list(letters.values())
