"""A view of a topic: one consumer in one thread keeps the current value of each key in this process's memory."""

import logging
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.cases.views.first_value_store import FirstValues, Read
from fraudstream.cases.views.start_offsets import start_offsets
from fraudstream.errors import FraudstreamError, KafkaError
from fraudstream.kafka.avro.codec import Codec, DecodedMessages
from fraudstream.kafka.client.connection import Connection
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_RECORDS = 1_000
POLL_SECONDS = 0.5
RETRY_SECONDS = 2.0
FORGET_EVERY_SECONDS = 60.0
#: Seconds between two checks for new partitions.
REFRESH_EVERY_SECONDS = 5.0
#: A partition that doesn't exist: a coroutine that waits for it is woken only when the view ends.
_NO_PARTITION = -1
#: Errors that no retry can fix: the view ends with them.
_HOPELESS = {
    Code.TOPIC_AUTHORIZATION_FAILED,
    Code.CLUSTER_AUTHORIZATION_FAILED,
    Code.SASL_AUTHENTICATION_FAILED,
    Code._FATAL,
}


class TopicView(Generic[T]):
    """The first value of each key of a topic, or one that :meth:`supersedes` it; start with :meth:`start` or ``with``.

    All records of a key are in one partition, whose order is the log order. If partitions were added to the topic in
    between, they are in two, and the one with the earlier append time is the first (:attr:`Read.place`). So no waiter
    gets a value before the view is caught up. New partitions are read within seconds.

    The view commits no offsets. At each start it reads the records of the last `horizon` (None: all records), and it
    drops values that get older than that. It waits while the brokers or the registry are unavailable. A record that
    can't be decoded is logged and skipped.

    Steps of the thread:

    1. ask for the end offset of each partition, then for the offset where the horizon begins, until the brokers answer,
    2. read from there, and pass the decoded records to the waiters, in log order,
    3. once each partition is read up to its end of step 1, the view is `caught_up`,
    4. look for new partitions at intervals.
    """

    topic: str

    def __init__(self, settings: Settings, *, horizon: timedelta | None) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._horizon = horizon
        self._first: FirstValues[T] = FirstValues(settled=False)
        self._codec = Codec.for_topic(self.topic, settings)
        self._ends: dict[int, int] | None = None
        self._caught_up = self._settled = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"view of {self.topic}", daemon=True)

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, T]:
        """Returns key and value that the view keeps of a decoded record."""
        raise NotImplementedError

    def supersedes(self, value: T) -> bool:
        """Whether a value replaces the earlier values of its key; by default, none does."""
        return False

    # ---- called from any thread ----

    def start(self) -> None:
        """Starts reading; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; coroutines that still wait get a :class:`KafkaError`. May be called again."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._first)

    @property
    def alive(self) -> bool:
        """Whether the view still follows its topic."""
        return self._thread.is_alive() and not self._stop.is_set()

    @property
    def waiting(self) -> int:
        """How many coroutines wait for a value now."""
        return self._first.waiting

    @property
    def caught_up(self) -> bool:
        """Whether the view has all records that the topic had at the start; never becomes False again.

        :raises KafkaError: the view ended before that
        """
        if not self._caught_up:
            ends = self._ends
            self._caught_up = ends is not None and all(self._first.position(n) >= end for n, end in ends.items())
        return self._caught_up

    def position(self, partition: int) -> int:
        """Returns the offset up to which a partition is read; -1 before it is known.

        :raises KafkaError: the view has ended
        """
        return self._first.position(partition)

    def get(self, key: str) -> T | None:
        """Returns the value of `key` that counts; None while there is none.

        :raises KafkaError: the view has ended
        """
        return self._first.get(key)

    async def wait(self, key: str) -> T:
        """Returns the value of `key` that counts, as soon as there is one; safe to cancel.

        :raises KafkaError: the view has ended
        """
        return await self._first.wait(key)

    async def reached(self, partition: int, offset: int) -> None:
        """Returns once the record at `offset` is in the view; safe to cancel.

        :raises KafkaError: the view has ended
        """
        await self._first.reached(partition, offset)

    async def ended(self) -> None:
        """Returns when the view has ended, for whatever reason."""
        with suppress(KafkaError):
            await self._first.reached(_NO_PARTITION, 0)

    # ---- the thread ----

    def _run(self) -> None:
        reason = "ended with an unforeseen error, which its log shows"
        try:
            consumer = Consumer(self._config(), logger=logger)
            try:
                self._follow(consumer)
                reason = "is closed"
            finally:
                consumer.close()
        except (FraudstreamError, KafkaException) as error:
            reason = f"ended: {error}"
            logger.exception("the view of topic %s ended", self.topic)
        finally:
            # wake the waiters with the error that ended the thread: nothing else would
            self._first.fail(f"the view of topic {self.topic} {reason}")

    def _config(self) -> dict[str, Any]:
        return self._settings.kafka_config(
            **{
                "group.id": f"view-of-{self.topic}",  # librdkafka requires one; the view neither joins it nor commits
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,  # reports a partition's end after transaction markers, too
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",  # if retention deleted records, continue with the rest
                "queued.max.messages.kbytes": 8192,
                "error_cb": self._on_error,
            }
        )

    def _on_error(self, error: Code) -> None:
        logger.warning("view of topic %s: %s", self.topic, error)
        self._connection.on_error(error)

    def _follow(self, consumer: Consumer) -> None:
        # 1
        while not self._stop.is_set() and not self._assign(consumer):
            self._stop.wait(RETRY_SECONDS)
        forget_at = time.monotonic() + FORGET_EVERY_SECONDS
        refresh_at = time.monotonic() + REFRESH_EVERY_SECONDS
        while not self._stop.is_set():
            # 2, 3: poll() returns at the first record; consume() alone would wait for a full batch or its timeout
            first = consumer.poll(POLL_SECONDS)
            if first is not None:
                self._take([first, *consumer.consume(BATCH_RECORDS, 0)])
                if not self._settled and self.caught_up:
                    self._settled = True
                    self._first.settle()
            # 4
            if time.monotonic() >= refresh_at:
                refresh_at = time.monotonic() + REFRESH_EVERY_SECONDS
                self._add_partitions(consumer)
            if self._horizon is not None and time.monotonic() >= forget_at:
                forget_at = time.monotonic() + FORGET_EVERY_SECONDS
                self._first.forget(int(self._horizon.total_seconds() * 1000), int(time.time() * 1000))

    def _assign(self, consumer: Consumer) -> bool:
        """Does step 1; returns False if the brokers don't answer yet."""
        try:
            found = consumer.list_topics(self.topic, timeout=10).topics[self.topic]
            if found.error is not None:
                raise KafkaException(found.error)
            # ask for the ends first: records that are produced between the two requests must come after them
            ends = {
                number: consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=10)[1]
                for number in found.partitions
            }
            starts = start_offsets(consumer, self.topic, ends, self._horizon)
        except KafkaException as error:
            code = error.args[0]
            if code.code() in _HOPELESS:
                raise self._connection.error(error, doing=f"reading topic {self.topic}") from error
            logger.warning("view of topic %s waits for the brokers: %s", self.topic, code)
            return False
        consumer.assign(starts)
        self._ends = ends
        return True

    def _add_partitions(self, consumer: Consumer) -> None:
        known = self._ends or {}
        try:
            found = consumer.list_topics(self.topic, timeout=5).topics[self.topic].partitions
        except KafkaException as error:
            logger.warning("view of topic %s can't look for new partitions: %s", self.topic, error.args[0])
            return
        added = sorted(found.keys() - known.keys())
        if added:
            logger.info("view of topic %s reads new partitions: %s", self.topic, added)
            consumer.incremental_assign([TopicPartition(self.topic, number, OFFSET_BEGINNING) for number in added])
            self._ends = known | dict.fromkeys(added, 0)

    def _take(self, messages: list[Message]) -> None:
        positions: dict[int, int] = {}
        records = []
        for message in messages:
            error = message.error()
            if error is None:
                records.append(message)
                positions[message.partition()] = message.offset() + 1
            elif error.code() == Code._PARTITION_EOF:
                positions[message.partition()] = message.offset()
            elif error.fatal() or error.code() in _HOPELESS:
                raise self._connection.error(error, doing=f"reading topic {self.topic}")
            else:
                logger.warning("view of topic %s: %s", self.topic, error)
        self._first.advance(self._reads(records), positions)

    def _reads(self, messages: list[Message]) -> list[Read[T]]:
        """Returns the values of the valid records, in log order."""
        decoded = self._decoded(messages)
        for message, reason in decoded.invalid:
            logger.warning("%s[%d]@%d is passed over: %s", self.topic, message.partition(), message.offset(), reason)
        pairs = zip(decoded.records, decoded.valid, strict=True)
        values = ((self.value(record, message), message) for record, message in pairs)
        return [
            Read(key, message.timestamp()[1], value, message.partition(), message.offset(), self.supersedes(value))
            for (key, value), message in values
        ]

    def _decoded(self, messages: list[Message]) -> DecodedMessages:
        while True:
            try:
                return self._codec.decode_messages(messages)
            except KafkaError as error:
                if not error.retryable or self._stop.is_set():
                    raise
                logger.warning(
                    "view of topic %s: %d records wait for their schema: %s", self.topic, len(messages), error
                )
                self._stop.wait(RETRY_SECONDS)
