"""Produces a source file to the topics. A read_committed reader gets each row exactly once, even after a kill.

The protocol, numbered as in the code:

1. init_transactions: fences an older producer of the same source and aborts its open transaction,
2. read the last committed position of the source,
3. begin a transaction; write rows to their topics and rejected rows to the dead letters, chunk by chunk,
4. write the new position in the same transaction,
5. commit; rows and position become visible together or not at all.

An error in 3 to 5 aborts the transaction: readers do not wait for a transaction that is never committed. Meanwhile a
thread reads and encodes the next chunks, so that little time is lost while a commit waits for the brokers. A commit
that is due doesn't wait for a late chunk.
"""

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from fraudstream.ahead import Ahead
from fraudstream.dataset.lines import Rejected
from fraudstream.dataset.reader import Chunk, Position, read_chunks
from fraudstream.dataset.source.source import Source
from fraudstream.errors import KafkaError, KafkaRefused, KafkaUnavailable, ProducerFenced
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.connection import Connection, unwritable
from fraudstream.kafka.client.queueing import queue
from fraudstream.kafka.produce.columns_producer import ColumnsProducer, Messages
from fraudstream.kafka.produce.progress import IngestProgress, last_progress
from fraudstream.kafka.produce.rejected_rows import RejectedRows
from fraudstream.kafka.produce.transaction import TIMEOUT_SECONDS, Transaction, transactional
from fraudstream.kafka.records import FRAUD_TRANSACTION, INGEST_DEAD_LETTER, INGEST_PROGRESS, NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_CHUNK_ROWS = 25_000
#: Chunks read and encoded ahead of the one being sent: as many as one thread makes while the brokers fence or commit.
_AHEAD = 5
_REPORT_SECONDS = 5.0
_TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION, INGEST_PROGRESS, INGEST_DEAD_LETTER)
_FENCED = {Code._FENCED, Code.PRODUCER_FENCED, Code.INVALID_PRODUCER_EPOCH}


@dataclass(frozen=True)
class _Encoded:
    """A chunk's rows as messages by topic, and the rest of it as in :class:`Chunk`."""

    others: Messages
    frauds: Messages
    rejected: list[Rejected]
    position: Position
    stored_bytes: int


class Publisher:
    """Produces one source file, from its last committed position to its end or a limit.

    :param limit: rows of the file to produce in all, over all runs; None: the whole file
    :param rows_per_second: maximum rate; 0: no limit
    :param max_rejected_share: rejected rows to rows read, 0 to 1, above which the run fails
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        *,
        limit: int | None = None,
        rows_per_second: int = 0,
        max_rejected_share: float = 0.01,
    ) -> None:
        self._settings = settings
        self._source = source
        self._limit = limit
        self._rows_per_second = rows_per_second
        self._rejected = RejectedRows(source.uri, max_rejected_share)
        self._transactions = Codec.for_topic(FRAUD_TRANSACTION, settings)
        self._other_transactions = Codec.for_topic(NON_FRAUD_TRANSACTION, settings)
        self._positions = Codec.for_topic(INGEST_PROGRESS, settings)
        self._stop = threading.Event()
        self._connection = Connection(settings)

    def stop(self) -> None:
        """Ends the run after the current transaction; safe from a signal handler."""
        self._stop.set()

    def run(self) -> IngestProgress:
        """Produces until the end, the limit or :meth:`stop`, and returns the position reached.

        :raises DatasetError: the source can't be read, or too many rows are rejected. A new file's first rows are
            checked before any row is sent; rows that are committed later stay on the topics
        :raises ProducerFenced: a newer run of the same source took over; don't retry
        :raises KafkaError: the brokers don't answer or refuse; a new run continues at the last committed position
        """
        properties = transactional(self._source.identity) | {"error_cb": self._connection.on_error}
        producer = Producer(self._settings.producer_config(**properties), logger=log)
        transaction = Transaction(producer)
        beginning = IngestProgress(self._source.identity, self._source.uri)
        try:
            # Most files are new: their first rows are encoded while the client connects.
            with self._encoded(beginning) as chunks, ColumnsProducer(producer) as columns:
                self._connection.open(producer)
                # 1. fence
                producer.init_transactions(60)
                # 2. where the last run stopped
                progress = last_progress(self._settings, self._positions, beginning)
                self._log_start(progress)
                if progress.done or (self._limit is not None and progress.row >= self._limit):
                    return progress
                progress = replace(progress, source=self._source.uri)  # the file's present URI
                if progress == beginning:
                    self._rejected.check_first_rows(self._source, self._settings.dataset_start_date, self._limit)
                    with transaction:
                        return self._run(transaction, columns, progress, chunks)
            with self._encoded(progress) as chunks, ColumnsProducer(producer) as columns, transaction:
                return self._run(transaction, columns, progress, chunks)
        except KafkaException as error:
            raise self._kafka_error(transaction.broken_by or error.args[0], transaction.timed_out) from error

    def _encoded(self, progress: IngestProgress) -> Ahead[_Encoded]:
        """The chunks after a position, which a thread reads and encodes ahead."""
        return Ahead(map(self._encode, self._chunks(progress)), _AHEAD)

    def _run(
        self, transaction: Transaction, columns: ColumnsProducer, progress: IngestProgress, chunks: Ahead[_Encoded]
    ) -> IngestProgress:
        first, started = progress, time.monotonic()
        reported = started
        for encoded in chunks:
            # 3. rows and rejected rows
            transaction.begin(progress.row)
            progress = self._send(transaction.producer, columns, progress, encoded)
            if not (self._rows_per_second or self._ends(progress) or _due(transaction, progress, chunks)):
                continue
            self._commit(transaction, progress)
            now = time.monotonic()
            if now - reported > _REPORT_SECONDS:
                reported = now
                self._log_progress(first, progress, encoded.stored_bytes / self._source.size, now - started)
            self._rejected.check(progress.done, progress.row)
            if self._stop.is_set():
                log.info("stopped on request after row %s", f"{progress.row:,}")
                break
            if self._rows_per_second:
                early = (progress.row - first.row) / self._rows_per_second - (time.monotonic() - started)
                self._stop.wait(max(0.0, early))
        else:
            if self._limit is None or progress.row < self._limit:
                progress = replace(progress, done=True)
                transaction.begin(progress.row)
                self._commit(transaction, progress)
        self._log_progress(first, progress, None, time.monotonic() - started)
        self._rejected.log()
        self._rejected.check(progress.done, progress.row)
        return progress

    def _ends(self, progress: IngestProgress) -> bool:
        """Whether the run ends after the rows that were sent, so that they must be committed now."""
        at_limit = self._limit is not None and progress.row >= self._limit
        return at_limit or self._stop.is_set() or self._rejected.too_many(progress.done)

    def _chunks(self, progress: IngestProgress) -> Iterator[Chunk]:
        """Chunks from a position to the end of the file, or to exactly the limit."""
        size = min(_CHUNK_ROWS, max(1, self._rows_per_second // 4)) if self._rows_per_second else _CHUNK_ROWS
        position = Position(progress.byte, progress.row, progress.blank)
        start_date = self._settings.dataset_start_date
        if self._limit is None:
            yield from read_chunks(self._source, position, start_date=start_date, chunk_rows=size)
            return
        while (left := min(size, self._limit - position.row)) > 0:
            before = position
            for chunk in read_chunks(self._source, position, start_date=start_date, chunk_rows=left):
                yield chunk
                position = chunk.position
                if position.row + left > self._limit:
                    break  # what is left is smaller than a chunk: read on with the right size
            if position == before or position.row + left <= self._limit:
                return  # the file ended first

    def _encode(self, chunk: Chunk) -> _Encoded:
        fraud = chunk.rows.column("isFraud").to_numpy() == 1
        frauds = chunk.rows.filter(pa.array(fraud))
        # Frauds are few: all rows are encoded for the other topic, which spares a copy of nearly all of them.
        return _Encoded(
            Messages.of(chunk.rows.column("nameOrig"), self._other_transactions.encode_rows(chunk.rows)).where(~fraud),
            Messages.of(frauds.column("nameOrig"), self._transactions.encode_rows(frauds)),
            chunk.rejected,
            chunk.position,
            chunk.stored_bytes,
        )

    def _send(
        self, producer: Producer, columns: ColumnsProducer, progress: IngestProgress, encoded: _Encoded
    ) -> IngestProgress:
        """Queues a chunk's rows and returns the progress after them. A failed delivery makes the commit fail."""
        columns.produce(NON_FRAUD_TRANSACTION, encoded.others)
        columns.produce(FRAUD_TRANSACTION, encoded.frauds)
        for rejected in encoded.rejected:
            headers = {"source": self._source.uri, "line": str(rejected.line), "reason": rejected.reason}
            value = rejected.text.encode()
            queue(producer, INGEST_DEAD_LETTER, seconds=TIMEOUT_SECONDS, value=value, headers=headers)
        self._rejected.add(encoded.position.row - progress.row, encoded.rejected)
        return replace(
            progress,
            byte=encoded.position.byte,
            row=encoded.position.row,
            blank=encoded.position.blank,
            fraud=progress.fraud + len(encoded.frauds),
            nonFraud=progress.nonFraud + len(encoded.others),
            rejected=progress.rejected + len(encoded.rejected),
        )

    def _commit(self, transaction: Transaction, progress: IngestProgress) -> None:
        # 4. write the new position
        value = self._positions.encode(progress.to_record())
        key = self._source.identity.encode()
        queue(transaction.producer, INGEST_PROGRESS, seconds=TIMEOUT_SECONDS, key=key, value=value)
        # 5. commit
        transaction.commit()

    def _log_start(self, progress: IngestProgress) -> None:
        what = f"{self._source.uri} (CRC32C {self._source.checksum}, {self._source.size:,} bytes)"
        if progress.done:
            already = "%s is produced already, all %s rows, from %s; to produce it once more, name a replay"
            log.info(already, what, f"{progress.row:,}", progress.source)
        elif progress.row:
            log.info("%s continues after row %s, where the last run stopped", what, f"{progress.row:,}")
        else:
            log.info("%s starts at its first row", what)

    def _log_progress(
        self, first: IngestProgress, progress: IngestProgress, share: float | None, seconds: float
    ) -> None:
        rows = progress.row - first.row
        left = ""
        if share is not None and 0 < share < 1:
            left = f", {share:.1%} of the file, about {seconds * (1 - share) / share:.0f} s left"
        log.info(
            "%s rows in %.1f s, %s rows/s%s; in all: %s non-fraud, %s fraud, %s rejected",
            f"{rows:,}",
            seconds,
            f"{rows / max(seconds, 1e-9):,.0f}",
            left,
            f"{progress.nonFraud:,}",
            f"{progress.fraud:,}",
            f"{progress.rejected:,}",
        )

    def _kafka_error(self, reason: Code, timed_out: bool) -> KafkaError:
        where = ""
        if reason.code() == Code.TOPIC_AUTHORIZATION_FAILED:  # the client doesn't say which topic it is
            where = f" to topic {' and '.join(unwritable(self._settings, _TOPICS))}"
        refused = self._connection.error(reason, doing=f"producing {self._source.uri}{where}")
        if isinstance(refused, KafkaRefused):
            return refused
        # The brokers also fence a producer whose transaction they aborted because it was open for too long.
        if reason.code() in _FENCED and not timed_out:
            return ProducerFenced(
                f"{self._source.uri} is being produced by a newer run, which fenced this one: {reason.str()}. Nothing "
                f"to do: the newer run continues after this one's last commit. Don't clear this task while it runs"
            )
        return KafkaUnavailable(
            f"producing {self._source.uri} to Kafka at {self._settings.kafka_bootstrap_servers} failed: {reason}. "
            f"Nothing after the last committed transaction is visible; a new run continues there"
        )


def _due(transaction: Transaction, progress: IngestProgress, chunks: Ahead[_Encoded]) -> bool:
    """Whether to commit before the next chunk, because that chunk is late or the transaction is full.

    After the last chunk a full transaction isn't committed here: the commit that marks the file as done includes it.
    """
    if not chunks.made_within(transaction.seconds_left):
        return True
    return transaction.due(progress.row) and not chunks.at_end
