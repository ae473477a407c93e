"""The sink that turns records into mails and keeps a log line of each in the lake.

For each piece of at most `mail_batch_rows` records, numbered as in the code:

1. compose the mails,
2. deliver them until each is settled: sent, failed, deferred, suppressed or over,
3. append their log lines to the chain of folder email_confirmation/,
4. follow up: queue retries of deferred mails, write events of fraud notices,
5. only then report the offset as done.

The mails of the next piece are composed while the previous log is written, and delivered after it.

A crash before 3 repeats the mails of one piece at most, with the same Message-IDs; after 3 it repeats none. A crash
before 5 repeats 4, for the letters that the log says need it; see ``mail_log.py``. So the log has exactly one line a
record; a mail's last line, which isn't ``deferred``, says what became of it.
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

#: Longest time in seconds that a record waits for others to share its log object.
_LINGER = 0.5
_LOG_WRITERS = 4


class Delivers(Protocol):
    """What the sink needs of :class:`~fraudstream.mail.smtp.delivery.Delivery`."""

    def deliver(self, mails: Sequence[Mail]) -> None:
        """Settles every mail, or raises :class:`~fraudstream.errors.MailError`."""

    def close(self) -> None:
        """Ends the session with QUIT."""


class FollowsUp(Protocol):
    """What the sink needs of :class:`~fraudstream.mail.follow_up.FollowUp`."""

    def done(self, letters: Sequence[Letter]) -> None:
        """Does what belongs to letters that are in the log."""


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
    """The sink of send_mail for a topic; `stop` is checked while it waits for the server.

    :param links: None for a topic none of whose mails has links
    :param compacted: finds log lines that aren't in objects any more
    :param time_of_day: decides which deferred mails are due

    :raises SettingsError: a mail setting is unusable
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
    """Letters of one partition that are sent together, and the offset where reading continues after them."""

    letters: list[Letter]
    end: int


class _Logging:
    """Log objects that are being written, with their letters."""

    def __init__(self, appended: list[Future[None]], letters: list[Letter]) -> None:
        self._appended = appended
        self.letters = letters

    def wait(self) -> None:
        """Waits until all are written: one lost partition must not keep others' mails out of the log.

        :raises FraudstreamError: what one of them raised
        """
        errors = [error for future in self._appended if (error := future.exception()) is not None]
        if errors:
            raise errors[0]


class MailSink:
    """:class:`~fraudstream.kafka.records.Sink` that sends a mail for each record; see the module for its protocol.

    Reading starts where the group committed, at most where a partition's log ends; a partition without a log starts
    where the group committed, so that a new lake doesn't mail everybody again. What the log has isn't sent again.
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
        """Sends the waiting mails; if there are none, moves the progress of the log to its end."""
        self._mail_log.settle(only_overdue=bool(self._waiting))
        moved: dict[Partition, int] = {}
        logging = _Logging([], [])
        while self._waiting:
            batches = self._take_piece()
            # 1. write
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
        """The next piece to send: the oldest records."""
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
        """Appends one object per UTC day, up to the first unsettled letter; `end` is that of the whole list."""
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
    """Defers letters before the last settled one: those behind them are logged, and aren't sent again."""
    settled = [index for index, letter in enumerate(letters) if not letter.unsettled]
    for letter in letters[: settled[-1]] if settled else []:
        if letter.unsettled:
            letter.mail.status = "deferred"
            letter.mail.reply = letter.mail.reply or "the server was given up before it took the mail"
            letter.mail.finished_at = time.time()
