"""The sink that sends a mail for each record and writes a log line for each mail to the lake.

The protocol for each piece of at most `mail_batch_rows` records, numbered as in the code:

1. compose the mails,
2. deliver them until each is settled: sent, failed, deferred, suppressed or over,
3. append their log lines to the chain of folder email_confirmation/,
4. follow up: queue retries of deferred mails, write events of fraud notices,
5. only then report the offset as done.

While the log of a piece is written, the mails of the next piece are composed. They are delivered after that.

A crash before 3 repeats the mails of at most one piece, with the same Message-IDs. A crash after 3 repeats no mail. A
crash before 5 repeats 4 for the mails whose log line requires it; see ``mail_log.py``. So the log has exactly one line
for each record. The last line of a mail has its final status, which isn't ``deferred``.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from fraudstream.cases.answers.places import AnswerPlaces
from fraudstream.errors import MailError, SettingsError
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import MAIL_RETRY, Batch, Partition, Sink
from fraudstream.lake.stream.names import day_of
from fraudstream.mail.follow_up import FollowUp
from fraudstream.mail.letter.facts import MakesLinks
from fraudstream.mail.letter.letters import Letter, LetterWriter, WritesLetters
from fraudstream.mail.mail_log import RECORDED, Chain, Compacted, MailLog
from fraudstream.mail.open_cases import OpenCasesOnly
from fraudstream.mail.retries import RetryWriter, WhenDue, give_up
from fraudstream.mail.smtp.conversation import Mail
from fraudstream.mail.smtp.delivery import Delivery
from fraudstream.mail.smtp.server import SmtpServer
from fraudstream.settings import Settings

#: Longest time in seconds that a record waits for other records, which share its log object.
_LINGER = 0.5
_LOG_WRITERS = 4


class Delivers(Protocol):
    """The methods of :class:`~fraudstream.mail.smtp.delivery.Delivery` that the sink uses."""

    def deliver(self, mails: Sequence[Mail]) -> None:
        """Settles every mail.

        :raises MailError, SettingsError: the delivery ended before; some of the mails may be settled
        """

    def close(self) -> None:
        """Ends the session with QUIT."""


class FollowsUp(Protocol):
    """The method of :class:`~fraudstream.mail.follow_up.FollowUp` that the sink uses."""

    def done(self, letters: Sequence[Letter]) -> None:
        """Does the follow-up of letters that are in the log."""


def mail_sink(
    settings: Settings,
    server: SmtpServer,
    topic: str,
    chain: Chain,
    links: MakesLinks | None,
    *,
    stop: Callable[[], bool],
    compacted: Compacted = lambda partition, start: (0, {}),
    time_of_day: Callable[[], float] = time.time,
) -> Sink:
    """Returns the sink of send_mail for a topic.

    :param links: makes the links of fraud notices; None if the topic's mails have no links
    :param stop: whether the task is to end; checked while the sink waits for the mail server
    :param compacted: reads the log lines that were compacted
    :param time_of_day: the clock that decides which deferred mails are due
    :raises SettingsError: a mail setting or the customer directory can't be used
    :raises DirectoryUnavailable: the customer directory doesn't answer
    """
    writer = LetterWriter(settings, links)
    retrying = topic == MAIL_RETRY
    delivery = Delivery(
        server,
        connections=settings.mail_connections,
        attempts=settings.mail_attempts,
        stop=stop,
        per_second=settings.mail_per_second or float("inf"),
        patient=not retrying,
    )
    letters: WritesLetters = RetryWriter(writer, lambda about: Codec.for_topic(about, settings)) if retrying else writer
    if links is not None:
        letters = OpenCasesOnly(letters, lambda: AnswerPlaces(settings), time_of_day)
    sink = MailSink(
        letters,
        delivery,
        chain,
        FollowUp(settings),
        compacted=compacted,
        piece_rows=settings.mail_batch_rows,
        retry_hours=settings.mail_retry_hours,
        time_of_day=time_of_day,
    )
    return WhenDue(sink, time_of_day) if retrying else sink


@dataclass
class _Piece:
    """Letters of one partition that are sent together, and the offset at which reading continues after them."""

    letters: list[Letter]
    end: int


class _Logging:
    """Log objects that are being written, with their letters."""

    def __init__(self, appended: list[Future[None]], letters: list[Letter]) -> None:
        self._appended = appended
        self.letters = letters

    def wait(self) -> None:
        """Waits for all objects, even if one fails: a lost partition must not keep the mails of others out of the log.

        :raises FraudstreamError: the first error of a write
        """
        errors = [error for future in self._appended if (error := future.exception()) is not None]
        if errors:
            raise errors[0]


class MailSink:
    """:class:`~fraudstream.kafka.records.Sink` that sends a mail for each record; see the module for its protocol.

    Reading starts at the group's committed offset, or at the end of the partition's log if that is lower. Without a log
    it starts at the committed offset, so that a new lake doesn't send all mails again. Logged mails aren't sent again.
    """

    def __init__(
        self,
        writer: WritesLetters,
        delivery: Delivers,
        chain: Chain,
        follow_up: FollowsUp,
        *,
        compacted: Compacted = lambda partition, start: (0, {}),
        piece_rows: int,
        retry_hours: float,
        clock: Callable[[], float] = time.monotonic,
        time_of_day: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._delivery = delivery
        self._mail_log = MailLog(chain, compacted, time_of_day)
        self._follow_up = follow_up
        self._piece_rows = piece_rows
        self._retry_hours = retry_hours
        self._clock = clock
        self._waiting: deque[Batch] = deque()
        self._oldest = 0.0
        self._log_writers = ThreadPoolExecutor(_LOG_WRITERS, thread_name_prefix="mail-log")

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        self._drop(partition)
        return self._mail_log.open(partition, committed)

    def write(self, batch: Batch) -> None:
        if not self._waiting:
            self._oldest = self._clock()
        self._waiting.append(batch)

    def due(self) -> bool:
        if not self._waiting:
            return self._mail_log.overdue()
        return self._clock() - self._oldest >= _LINGER or sum(map(len, self._waiting)) >= self._piece_rows

    def flush(self) -> dict[Partition, int]:
        """Sends the mails of the waiting records, and moves the progress of logs to their ends.

        Without waiting records it moves each progress, else only those that are overdue.
        """
        self._mail_log.settle(only_overdue=bool(self._waiting))
        moved: dict[Partition, int] = {}
        logging = _Logging([], [])
        while self._waiting:
            batches = self._take_piece()
            # 1. compose
            piece = self._written([batch for batch in batches if len(batch)])
            self._finish(logging)
            logging = self._deliver(piece)
            for batch in batches:
                moved[batch.partition] = max(batch.next_offset, moved.get(batch.partition, 0))
        self._finish(logging)
        # 5. report
        return moved

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._drop(partition)

    def close(self) -> None:
        self._log_writers.shutdown()
        self._delivery.close()
        self._writer.close()

    def _drop(self, partition: Partition) -> None:
        self._waiting = deque(batch for batch in self._waiting if batch.partition != partition)
        self._mail_log.forget(partition)

    def _take_piece(self) -> list[Batch]:
        """Removes and returns the oldest records, up to the size of a piece."""
        piece: list[Batch] = []
        room = self._piece_rows
        while self._waiting and room:
            batch = self._waiting.popleft()
            if len(batch) > room:
                self._waiting.appendleft(batch.since(int(batch.offsets[room])))
                batch = batch.head(room)
            room -= len(batch)
            piece.append(batch)
        return piece

    def _written(self, batches: list[Batch]) -> dict[Partition, _Piece]:
        pieces: dict[Partition, _Piece] = {}
        for batch in batches:
            before = pieces[batch.partition].letters if batch.partition in pieces else []
            pieces[batch.partition] = _Piece([*before, *self._writer.letters(batch)], batch.next_offset)
        return pieces

    def _deliver(self, pieces: dict[Partition, _Piece]) -> _Logging:
        for partition, piece in pieces.items():
            self._mail_log.recall(partition, piece.letters)
        # 2. deliver
        letters = [letter for piece in pieces.values() for letter in piece.letters if letter.unsettled]
        try:
            if letters:
                self._delivery.deliver([letter.mail for letter in letters])
        except (MailError, SettingsError):
            # Mails that the server accepted before the delivery stopped are not sent again.
            for piece in pieces.values():
                _defer_gaps(piece.letters)
            self._finish(self._log(pieces))
            raise
        give_up(letters, self._retry_hours, time.time())
        # 3. log
        return self._log(pieces)

    def _log(self, pieces: dict[Partition, _Piece]) -> _Logging:
        letters = [letter for piece in pieces.values() for letter in piece.letters]
        return _Logging(
            [
                self._log_writers.submit(self._log_partition, partition, piece.letters, piece.end)
                for partition, piece in pieces.items()
            ],
            letters,
        )

    def _finish(self, logging: _Logging) -> None:
        logging.wait()
        # 4. follow up
        settled = [letter for letter in logging.letters if letter.mail.status not in ("", RECORDED)]
        if settled:
            self._follow_up.done(settled)

    def _log_partition(self, partition: Partition, letters: list[Letter], end: int) -> None:
        """Appends one object for each UTC day, up to the first unsettled letter; `end` is the end of all letters."""
        first = self._logged(partition, letters)
        while first < len(letters) and not letters[first].unsettled:
            day = day_of(letters[first].timestamp)
            rest = range(first, len(letters))
            last = next((i for i in rest if letters[i].unsettled or day_of(letters[i].timestamp) != day), len(letters))
            next_offset = letters[last].offset if last < len(letters) else end
            self._mail_log.append(partition, letters[first:last], next_offset)
            first = self._logged(partition, letters)

    def _logged(self, partition: Partition, letters: list[Letter]) -> int:
        """The number of letters that are in the log."""
        return bisect_left(letters, self._mail_log.end(partition), key=lambda letter: letter.offset)


def _defer_gaps(letters: list[Letter]) -> None:
    """Defers unsettled letters before the last settled one.

    Otherwise the log would end before them, and the mails after them would be sent again.
    """
    settled = [index for index, letter in enumerate(letters) if not letter.unsettled]
    for letter in letters[: settled[-1]] if settled else []:
        if letter.unsettled:
            letter.mail.status = "deferred"
            letter.mail.reply = letter.mail.reply or "the server was given up before it took the mail"
            letter.mail.finished_at = time.time()
