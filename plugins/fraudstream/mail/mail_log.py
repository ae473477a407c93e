"""The mail log: the chain of folder email_confirmation/, and what it says of mails that an earlier reader settled.

A reader may end between the object in the log and what belongs to it: the retries of deferred mails, the events of
undelivered ones, and last the group's offset. So reading begins at the group's offset where that is behind the end of
the log, and mails that the log has are neither sent nor logged again; their letters get what the log says. That lies
in objects, or in the folder's table, where a compaction came first.

The brokers forget the offset of a group that has had no member for a week, and then all of the log is read. What
belongs to mails that were logged long ago is not done again: topic mail_retry may have forgotten that it had them.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

import numpy as np
import orjson
from isal import igzip

from fraudstream.kafka.records import MAIL_RETRY, MAIL_RETRY_KEPT, Partition
from fraudstream.lake.store.objects import ObjectStore, StoredObject, unpacked
from fraudstream.lake.stream.chain import Appended, Link
from fraudstream.lake.stream.names import day_of, object_name, object_prefix
from fraudstream.lake.stream.totals import Totals, totals_of
from fraudstream.mail.letter.letters import Letter, log_lines

logger = logging.getLogger(__name__)

_GZIP_LEVEL = 1
#: How old a line may be for what belongs to it to be done again, in seconds: a day less than mail_retry remembers it.
_DONE_AGAIN = MAIL_RETRY_KEPT - 24 * 3600
#: Status of a letter that the log has, and that nothing belongs to or is known of; it never gets into the log.
RECORDED = "recorded"
#: From a topic-partition and an offset: where the folder's table ends, and its lines by offset from there on.
#: See :class:`fraudstream.mail.compacted_log.CompactedLog`.
Compacted = Callable[[Partition, int], tuple[int, Mapping[int, dict[str, Any]]]]


class Chain(Protocol):
    """What the log needs of :class:`fraudstream.lake.stream.appending.AppendingChain`."""

    store: ObjectStore
    folder: str

    def open(self, partition: Partition, read_to: int = 0) -> int | None:
        """Where the chain ends; None: it has no object yet."""

    def append(
        self, partition: Partition, first_offset: int, end_offset: int, day: date, body: bytes, totals: Totals
    ) -> Appended:
        """Adds one object, or adopts the one of that name."""

    def overdue(self) -> bool:
        """Whether a progress lags behind for long."""

    def settle(self, *, only_overdue: bool = False) -> None:
        """Moves the progress of partitions to their chains' ends."""

    def forget(self, partition: Partition) -> None:
        """Drops what is remembered of a partition."""


@dataclass(slots=True)
class _Known:
    """What is known of a partition's log: lines of offsets below `read`; the chain ends at `end`.

    `complete`: no object lies behind the end, so that what comes is new.
    """

    end: int
    read: int
    complete: bool = False
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)


class MailLog:
    """Reads back and appends. One thread at a time for each partition; any number of partitions."""

    def __init__(self, chain: Chain, compacted: Compacted, time_of_day: Callable[[], float] = time.time) -> None:
        self._chain = chain
        self._time_of_day = time_of_day
        self._compacted = compacted
        self._known: dict[Partition, _Known] = {}

    def open(self, partition: Partition, committed: int | None) -> int | None:
        """Where reading begins; None: at the beginning, for the group committed nothing.

        A log doesn't change that: a reader may have ended before it did what belongs to the first mails of the log.
        """
        # Copies behind the last mail of mail_retry leave no line, and its retention takes them: they were read.
        read_to = committed or 0 if partition.topic == MAIL_RETRY else 0
        end = self._chain.open(partition, read_to)
        start = committed if committed is None or end is None else min(committed, end)
        if end and committed is None:
            logger.warning(
                "%s: the group has no offset, and mails are logged up to %d: the log is read, and none of them is sent "
                "again. What belongs to a mail that was logged more than %d days ago isn't done again either",
                partition,
                end,
                _DONE_AGAIN // 86_400,
            )
        self._known[partition] = _Known(end or 0, start or 0)
        return start

    def end(self, partition: Partition) -> int:
        """Offset behind the last one that is logged."""
        return self._known[partition].end

    def forget(self, partition: Partition) -> None:
        """Drops what is known of a partition that another reader owns now."""
        self._known.pop(partition, None)
        self._chain.forget(partition)

    def overdue(self) -> bool:
        """Whether :meth:`settle` is due."""
        return self._chain.overdue()

    def settle(self, *, only_overdue: bool = False) -> None:
        """Moves the progress up to what was logged.

        :raises PartitionLost: another reader moved it
        """
        self._chain.settle(only_overdue=only_overdue)

    def recall(self, partition: Partition, letters: Sequence[Letter]) -> None:
        """Gives letters that the log has the status that it has.

        :raises PartitionLost: another reader moved the log's end
        """
        known = self._known[partition]
        for letter in letters:
            if letter.offset >= known.read and (letter.offset < known.end or not known.complete):
                self._read_object(partition, letter, known)
            if letter.offset < known.read:
                self._settle(letter, known.lines.pop(letter.offset, None))

    def append(self, partition: Partition, letters: Sequence[Letter], end: int) -> None:
        """Adds an object with the letters' lines, the first letter's day.

        If another reader's object was there already, the letters get the status that it has.

        :param end: offset behind them
        :raises PartitionLost: another reader moved the log's end
        """
        known, first = self._known[partition], letters[0]
        day = day_of(first.timestamp)
        totals = totals_of(np.array([letter.offset for letter in letters]))
        body = igzip.compress(log_lines(partition, letters), _GZIP_LEVEL)
        known.end, ours = self._chain.append(partition, first.offset, end, day, body, totals)
        if not ours:
            # Its lines count, also where it ends at the same offset: its mails may have met another answer.
            self.recall(partition, letters)
        known.read = max(known.read, known.end)

    def _read_object(self, partition: Partition, letter: Letter, known: _Known) -> None:
        """The object that a letter is in: its lines, and the log's end moved behind it.

        Or the lines that the table has instead.
        """
        day = day_of(letter.timestamp)
        name = object_name(self._chain.folder, day, *partition, letter.offset)
        found = self._chain.store.get(name)
        if found is None and letter.offset < known.end:
            found = self._object_around(partition, letter.offset, day)
        if found is not None:
            end = Link.of(found.info).end
            for line in unpacked(found.info.name, found.data).splitlines():
                values = orjson.loads(line)
                known.lines[values["offset"]] = values
            if end > known.end:
                logger.info("%s: %s is there already, its mails are not sent again", partition, name)
                known.end = self._chain.append(partition, letter.offset, end, day, b"", Totals(0, 0)).end
            known.read = end
        elif letter.offset < known.end:
            self._read_table(partition, letter, known, name)
        else:
            known.complete = True

    def _object_around(self, partition: Partition, offset: int, day: date) -> StoredObject | None:
        """The object that has an offset in its middle: its writer was ended, and the next reader committed a part."""
        for info in self._chain.store.list(object_prefix(self._chain.folder, day, *partition)):
            link = Link.of(info)
            if link.first < offset < link.end:
                return self._chain.store.get(info.name)
        return None

    def _read_table(self, partition: Partition, letter: Letter, known: _Known, name: str) -> None:
        # An object goes only after the table has its lines: the table is read after the object wasn't found.
        end, lines = self._compacted(partition, letter.offset)
        if end > letter.offset:
            known.lines.update(lines)
            known.read = min(end, known.end)
        else:
            logger.warning(
                "%s offsets %d to %d are logged, but neither object %s nor the table has them: whether deferred mails"
                " among them wait in topic mail_retry isn't checked. `python -m fraudstream.mail resend --case ID`"
                " sends one again",
                partition,
                letter.offset,
                known.end,
                name,
            )
            known.read = known.end

    def _settle(self, letter: Letter, line: dict[str, Any] | None) -> None:
        mail = letter.mail
        if line is None or self._time_of_day() - _time(line.get("finishedAt")) > _DONE_AGAIN:
            mail.status = RECORDED
            return
        mail.status, mail.reply = line.get("status", RECORDED), line.get("reply", "")
        mail.attempts = line.get("attempts", 0)
        if line.get("firstTriedAt"):
            mail.first_tried_at = _time(line["firstTriedAt"])


def _time(text: str | None) -> float:
    """Seconds since 1970; infinite where a line doesn't say it."""
    return datetime.fromisoformat(text).timestamp() if text else float("inf")
