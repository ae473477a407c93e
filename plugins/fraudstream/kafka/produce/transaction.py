"""The producer's transaction: its begin, the time of its commit, and its abort after an error."""

import hashlib
import logging
import time
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from fraudstream.kafka.produce.columns_producer import QUEUE

log = logging.getLogger(__name__)

#: Limits of a transaction. Each commit takes 50 to 150 ms, and the rows of an open transaction are sent again if the
#: process dies.
_ROWS = 500_000
_SECONDS = 2.0
#: The brokers abort a transaction that is open for longer; the property transaction.timeout.ms.
TIMEOUT_SECONDS = 60
_ABORT_SECONDS = 10
#: Error codes of the client that refer to an earlier error without naming it.
_BROKEN_BEFORE = {Code._STATE, Code._FATAL}


def transactional(source: str) -> dict[str, Any]:
    """The properties of a source's producer. A newer producer of the source has the same id and fences it."""
    return {
        "transactional.id": f"fraudstream-produce-{hashlib.sha256(source.encode()).hexdigest()[:16]}",
        "transaction.timeout.ms": 1000 * TIMEOUT_SECONDS,
        "compression.type": "lz4",
        # At full speed each partition's batch is full before that, and a commit sends incomplete batches at once.
        "linger.ms": 200,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 2 * QUEUE,
        # A failed delivery makes the commit fail. Successful deliveries need no report.
        "delivery.report.only.error": True,
    }


class Transaction:
    """The producer's current transaction, if one is open.

    A context manager: when it is left by an error, it aborts the open transaction, so that readers of the topics don't
    wait for it.
    """

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self._open = False
        self._first_row = 0
        self._begun = 0.0
        #: After an error: its cause, and whether the transaction was so old that the brokers may have aborted it.
        self.broken_by: Code | None = None
        self.timed_out = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, KafkaException):
            self.broken_by = abort_reason(self.producer, error.args[0])
        if self._open:
            self.timed_out = time.monotonic() - self._begun >= TIMEOUT_SECONDS
            self._abort()

    def begin(self, row: int) -> None:
        """Begins a transaction for the rows after `row`, unless one is open."""
        if not self._open:
            self.producer.begin_transaction()
            self._open, self._first_row, self._begun = True, row, time.monotonic()

    def due(self, row: int) -> bool:
        """Whether the transaction should be committed now that it has the rows up to `row`."""
        return row - self._first_row >= _ROWS or self.seconds_left <= 0

    @property
    def seconds_left(self) -> float:
        """Seconds until the transaction should be committed, whatever its size; 0 after that time."""
        return max(0.0, self._begun + _SECONDS - time.monotonic())

    def commit(self) -> None:
        """Commits the transaction, which makes its records visible.

        :raises KafkaException: the brokers refuse, or a delivery failed; none of the records becomes visible
        """
        self.producer.commit_transaction(60)
        self._open = False

    def _abort(self) -> None:
        self._open = False
        try:
            self.producer.abort_transaction(_ABORT_SECONDS)
        except KafkaException as error:
            # The transaction of a fenced producer is aborted already. Unreachable brokers abort it by themselves.
            log.warning(
                "the open transaction couldn't be aborted: %s. The brokers end it %d s after its begin; read_committed "
                "readers of its topics wait until then",
                error.args[0],
                TIMEOUT_SECONDS,
            )


def abort_reason(producer: Producer, error: Code) -> Code:
    """Returns the client's reason for a broken transaction if `error` only says that it is broken; else `error`."""
    try:
        producer.poll(0)  # serves the reports of failed deliveries
        if error.code() in _BROKEN_BEFORE:
            producer.commit_transaction(10)  # fails with the reason
    except KafkaException as why:
        reason: Code = why.args[0]
        return reason
    return error
