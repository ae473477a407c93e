"""The producer's transaction: when it begins, when it should be committed, and that an error aborts it."""

import hashlib
import logging
import time
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from fraudstream.kafka.produce.columns_producer import QUEUE

log = logging.getLogger(__name__)

#: Each commit is a pause of 50 to 150 ms; and what an open transaction has is sent again when its process dies.
_ROWS = 500_000
_SECONDS = 2.0
#: The brokers end a transaction that is open for longer; the property transaction.timeout.ms.
TIMEOUT_SECONDS = 60
_ABORT_SECONDS = 10
#: The client's codes that say that something broke before, and not what.
_BROKEN_BEFORE = {Code._STATE, Code._FATAL}


def transactional(source: str) -> dict[str, Any]:
    """The client's properties for the one producer of a source: a newer one with the same id fences it."""
    return {
        "transactional.id": f"fraudstream-produce-{hashlib.sha256(source.encode()).hexdigest()[:16]}",
        "transaction.timeout.ms": 1000 * TIMEOUT_SECONDS,
        "compression.type": "lz4",
        # At full speed each partition's batch fills up before that; a commit sends at once what there is.
        "linger.ms": 200,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 2 * QUEUE,
        # A delivery that fails makes the commit fail; of the others no report is needed.
        "delivery.report.only.error": True,
    }


class Transaction:
    """The producer's transaction at hand, if one is open.

    A context manager: an error that leaves it aborts what is open, so that readers of the topics don't wait for it.
    """

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self._open = False
        self._first_row = 0
        self._begun = 0.0
        #: After an error: what broke it, and whether it was so old that the brokers may have ended it.
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
        """Begins one for the rows after `row`, unless one is open."""
        if not self._open:
            self.producer.begin_transaction()
            self._open, self._first_row, self._begun = True, row, time.monotonic()

    def due(self, row: int) -> bool:
        """Whether it should be committed, now that it has the rows up to `row`."""
        return row - self._first_row >= _ROWS or self.seconds_left <= 0

    @property
    def seconds_left(self) -> float:
        """Time until it should be committed, whatever it has; 0 once that is over."""
        return max(0.0, self._begun + _SECONDS - time.monotonic())

    def commit(self) -> None:
        """Makes what is in it visible.

        :raises KafkaException: the brokers refuse, or a delivery failed; nothing of it will be visible
        """
        self.producer.commit_transaction(60)
        self._open = False

    def _abort(self) -> None:
        self._open = False
        try:
            self.producer.abort_transaction(_ABORT_SECONDS)
        except KafkaException as error:
            # A fenced producer's transaction is ended already; that of an unreachable cluster ends by itself.
            log.warning(
                "the open transaction couldn't be aborted: %s. The brokers end it %d s after its begin; read_committed "
                "readers of its topics wait until then",
                error.args[0],
                TIMEOUT_SECONDS,
            )


def abort_reason(producer: Producer, error: Code) -> Code:
    """The client's reason for a broken transaction, where `error` only says that it is broken."""
    try:
        producer.poll(0)  # brings the reports of the records that weren't taken
        if error.code() in _BROKEN_BEFORE:
            producer.commit_transaction(10)  # refused, and told why
    except KafkaException as why:
        reason: Code = why.args[0]
        return reason
    return error
