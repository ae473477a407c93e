"""The mail log: the chain of objects of folder email_confirmation/, and the status of mails that are already in it.

The log object of a mail is written first. Then its follow-up is done: retries of deferred mails, and events of fraud
notices. The group's offset is committed last. A reader may crash in between. So if the group's offset is lower than the
end of the log, the next reader starts at the group's offset. Mails that are in the log are neither sent nor logged
again; their letters get the status that the log has, and their follow-up is done again. The log's lines are in objects,
or in the folder's table if they were compacted.

The brokers delete the offset of a group that has had no member for a week. Then the whole log is read. The follow-up of
mails that were logged long ago is not done again: topic mail_retry may have deleted their retries, so that it would not
recognise repeated ones.
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
#: Maximum age in seconds of a line whose follow-up is done again: one day less than the retention of mail_retry.
_DONE_AGAIN = MAIL_RETRY_KEPT - 24 * 3600
#: Status of a letter that is in the log and has no follow-up, or whose line isn't known. It is never in the log.
RECORDED = "recorded"
#: Takes a topic-partition and a start offset. Returns the table's end offset, and the lines from there on by offset.
#: See :class:`fraudstream.mail.compacted_log.CompactedLog`.
Compacted = Callable[[Partition, int], tuple[int, Mapping[int, dict[str, Any]]]]


class Chain(Protocol):
    """The methods of :class:`fraudstream.lake.stream.appending.AppendingChain` that the log uses."""

    store: ObjectStore
    folder: str

    def open(self, partition: Partition, read_to: int = 0) -> int | None:
        """Returns the chain's end offset; None: it has no object yet."""

    def append(
        self, partition: Partition, first_offset: int, end_offset: int, day: date, body: bytes, totals: Totals
    ) -> Appended:
        """Adds an object, or adopts the existing object of that name."""

    def overdue(self) -> bool:
        """Whether the progress of a partition has been behind the chain's end for too long."""

    def settle(self, *, only_overdue: bool = False) -> None:
        """Moves the progress of each partition to its chain's end."""

    def forget(self, partition: Partition) -> None:
        """Forgets a partition."""


@dataclass(slots=True)
class _Known:
    """The known part of a partition's log: the lines of offsets below `read`. `end` is the chain's end offset.

    `complete` says that there is no object after the end, so that later letters are new.
    """

    end: int
    read: int
    complete: bool = False
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)


class MailLog:
    """Reads and appends log lines. Each partition may be used by one thread at a time; partitions are independent."""

    def __init__(self, chain: Chain, compacted: Compacted, time_of_day: Callable[[], float] = time.time) -> None:
        self._chain = chain
        self._time_of_day = time_of_day
        self._compacted = compacted
        self._known: dict[Partition, _Known] = {}

    def open(self, partition: Partition, committed: int | None) -> int | None:
        """Returns the start offset for reading: `committed`, or the end of the log if that is lower.

        None: the group has no offset, and reading starts at the beginning, even if there is a log. A reader may have
        crashed before the follow-up of the first mails of the log.
        """
        # Repeated records after the last mail of mail_retry have no log line. They count as read, so that the chain
        # doesn't report them as lost when retention deletes them.
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
        """Returns the end offset of a partition's log."""
        return self._known[partition].end

    def forget(self, partition: Partition) -> None:
        """Forgets a partition, which another reader may own now."""
        self._known.pop(partition, None)
        self._chain.forget(partition)

    def overdue(self) -> bool:
        """Whether :meth:`settle` is due."""
        return self._chain.overdue()

    def settle(self, *, only_overdue: bool = False) -> None:
        """Moves the progress of each partition to the end of its log.

        :raises PartitionLost: another reader moved the progress
        """
        self._chain.settle(only_overdue=only_overdue)

    def recall(self, partition: Partition, letters: Sequence[Letter]) -> None:
        """Sets the status of letters that are in the log to the logged status.

        :raises PartitionLost: another reader moved the progress
        """
        known = self._known[partition]
        for letter in letters:
            if letter.offset >= known.read and (letter.offset < known.end or not known.complete):
                self._read_object(partition, letter, known)
            if letter.offset < known.read:
                self._settle(letter, known.lines.pop(letter.offset, None))

    def append(self, partition: Partition, letters: Sequence[Letter], end: int) -> None:
        """Writes the letters' lines as one object, in the folder of the first letter's day.

        If another reader has already written this object, the letters get the status that it has.

        :param end: the end offset of the object
        :raises PartitionLost: another reader moved the progress
        """
        known, first = self._known[partition], letters[0]
        day = day_of(first.timestamp)
        totals = totals_of(np.array([letter.offset for letter in letters]))
        body = igzip.compress(log_lines(partition, letters), _GZIP_LEVEL)
        known.end, ours = self._chain.append(partition, first.offset, end, day, body, totals)
        if not ours:
            # The other reader's lines count, even if both objects end at the same offset: the mail server may have
            # answered it differently.
            self.recall(partition, letters)
        known.read = max(known.read, known.end)

    def _read_object(self, partition: Partition, letter: Letter, known: _Known) -> None:
        """Reads the lines of the object that a letter is in, or those of the table if the object was compacted.

        Moves the end of the log to the object's end, if that is higher.
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
        """Returns the object that has an offset after its first one.

        Such an offset is read first if the writer crashed and the next reader committed an offset within the object.
        """
        for info in self._chain.store.list(object_prefix(self._chain.folder, day, *partition)):
            link = Link.of(info)
            if link.first < offset < link.end:
                return self._chain.store.get(info.name)
        return None

    def _read_table(self, partition: Partition, letter: Letter, known: _Known, name: str) -> None:
        # An object is deleted only once the table has its lines, so the table is read after the object wasn't found.
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
    """Returns seconds since 1970; infinity if the line has no such time."""
    return datetime.fromisoformat(text).timestamp() if text else float("inf")
