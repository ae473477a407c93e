"""The engine of every consumer: a member of a consumer group that passes a topic's records to a sink.

The protocol, numbered as in the code:

1. poll up to 10,000 records,
2. split them by partition and decode each part; send invalid records to the dead letters and wait for their
   confirmation; if another group has yet to send one, hold the part back and pause its partition,
3. pass the rows to the sink, which may begin to make them durable,
4. flush the sink when it is due,
5. commit the offsets that the sink made durable.

After a crash, records that came after the last commit are read again. A sink that must not repeat an effect stores its
own position together with the effect and returns it from ``assigned``. The group's committed offset then only shows
lag, and only records after the last flush are read again.
"""

import logging
import threading
import time
from typing import Literal

import numpy as np
import pandas as pd  # noqa: F401  # Arrow would import it at its first conversion, while records wait
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.client.client_config import group_member
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.consume.columns_consumer import ColumnsConsumer
from fraudstream.kafka.consume.held_back import HeldBack
from fraudstream.kafka.consume.librdkafka import usable
from fraudstream.kafka.consume.message_consumer import MessageConsumer, Records, RecordsReader
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.dead_letters.invalid_records import InvalidRecords, KnownDeadLetters
from fraudstream.kafka.records import Batch, Partition, Report, Sink
from fraudstream.kafka.topic.group_offsets import require_committed
from fraudstream.kafka.topic.topic_identity import SameTopic, first_available
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

Until = Literal["forever", "caught_up"]
_POLL_RECORDS = 10_000
_POLL_SECONDS = 0.2
_REPORT_SECONDS = 10.0
#: How long a new member waits for partitions: it gets none until the other members have released its share.
_SHARE_WITHIN_SECONDS = 10.0


class Subscription:
    """Reads a topic as a member of a consumer group until told to stop.

    :param until: ``forever``, or ``caught_up``: until each assigned partition has been read to its end; a member
        without a partition waits 10 seconds for one
    :param max_seconds: maximum duration of the run; the current batch is finished and committed
    :param dead_letters: the producer for invalid records; None if another group of the topic sends them: then this
        group logs and skips them
    :param columns: read with :class:`ColumnsConsumer`, for a sink that is faster than the creation of an object for
        each record
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        group: str,
        sink: Sink,
        codec: Codec,
        *,
        until: Until = "forever",
        max_seconds: float = float("inf"),
        dead_letters: DeadLetters | None = None,
        columns: bool = False,
    ) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._topic = topic
        self._group = group
        self._sink = sink
        self._codec = codec
        self._until = until
        self._max_seconds = max_seconds
        self._columns = columns
        self._invalid_records = InvalidRecords(
            topic,
            group,
            dead_letters=dead_letters,
            known=KnownDeadLetters(settings, topic),
            max_share=settings.kafka_max_dead_letter_share,
        )
        self._stop = threading.Event()
        self._failed = self._closing = False
        self._joined_at: float | None = None
        #: For each assigned partition: the next offset to pass to the sink, and the partition's end once it is reached.
        self._positions: dict[Partition, int] = {}
        self._end: dict[Partition, int] = {}
        self._durable: dict[Partition, int] = {}
        self._held_back = HeldBack()
        self.report = Report(topic, group)

    def stop(self) -> None:
        """Ends the run after the current batch; safe from any thread and from a signal handler."""
        self._stop.set()

    @property
    def waiting_since(self) -> float | None:
        """The time.monotonic() since which records wait for their dead letters; None if none wait."""
        return self._held_back.since

    def run(self) -> Report:
        """Runs until caught up, stopped or out of time; returns its report.

        :raises KafkaUnavailable: the brokers don't answer at the start
        :raises KafkaRefused: the brokers refuse the user, or a permission is missing
        :raises TopicChanged: the topic was truncated, restored or recreated; the message says what to do
        :raises FraudstreamError: an error of the sink or the registry; no record is lost, a new run continues
        """
        # Arrow's own allocator keeps freed memory for each thread. The system's allocator needs 50 MiB less.
        pa.set_memory_pool(pa.system_memory_pool())
        consumer = Consumer(
            self._settings.kafka_config(**group_member(self._group), error_cb=self._connection.on_error),
            logger=log,
        )
        self._started = reported = time.monotonic()
        self._records = self._reader(consumer)
        try:
            self._require_topic(consumer)
            topic = SameTopic(self._settings, self._topic, self._group)
            consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._finished:
                self._poll(consumer)
                if self._sink.due():
                    self._flush(consumer)
                if time.monotonic() - reported > _REPORT_SECONDS:
                    reported = time.monotonic()
                    topic.require_unchanged()
                    self._log_progress(reported - self._started)
            self._flush(consumer)
        except BaseException:
            self._failed = True
            raise
        finally:
            self.report.seconds = time.monotonic() - self._started
            self._log_progress(self.report.seconds)
            self._closing = True
            self._records.close()
            consumer.close()
            self._sink.close()
            self._invalid_records.close()
        return self.report

    def _reader(self, consumer: Consumer) -> RecordsReader:
        if self._columns and usable():
            return ColumnsConsumer(consumer, self._topic, _POLL_RECORDS)
        return MessageConsumer(consumer, _POLL_RECORDS)

    @property
    def _out_of_time(self) -> bool:
        return time.monotonic() - self._started > self._max_seconds

    @property
    def _finished(self) -> bool:
        if self._stop.is_set() or self._out_of_time:
            return True
        if self._until == "forever" or self._joined_at is None:
            return False
        if not self._positions:
            return time.monotonic() - self._joined_at > _SHARE_WITHIN_SECONDS
        return not self._held_back and self._positions.keys() <= self._end.keys()

    def _poll(self, consumer: Consumer) -> None:
        # 1. poll
        found, failures = self._records.read(_POLL_SECONDS)
        for number, offset, error in failures:
            self._on_event(consumer, Partition(self._topic, number), offset, error)
        self._held_back.retry(consumer, self._pass_to_sink)
        for number, records in found.items():
            partition = Partition(self._topic, number)
            if records.offsets[-1] >= self._end.get(partition, 0):
                self._end.pop(partition, None)
            if partition not in self._positions:
                continue
            if partition in self._held_back or not self._pass_to_sink(partition, records):
                self._held_back.add(consumer, partition, records)

    def _on_event(self, consumer: Consumer, partition: Partition, offset: int, error: Code) -> None:
        if error.code() == Code._AUTO_OFFSET_RESET:
            self._available(consumer, partition, offset)
            raise KafkaUnavailable(f"{partition} begins behind offset {offset} now; a new run reads from its beginning")
        if error.code() != Code._PARTITION_EOF:
            what = partition if partition.number >= 0 else self._topic
            raise self._connection.error(error, doing=f"reading {what} in group {self._group}")
        self._end[partition] = offset

    def _pass_to_sink(self, partition: Partition, records: Records) -> bool:
        """Returns False, without passing anything, if another group has yet to send a dead letter of these records."""
        # 2. decode
        rows, invalid = self._codec.decode_rows(records.values, records.timestamps)
        dead = self._invalid_records.settle(partition, records, invalid, self._codec.foreign(records.values))
        if dead is None:
            log.info("%s: group %s waits for dead letters of records of unknown schemas", partition, self._group)
            return False
        valid = np.delete(np.arange(len(records)), [record.index for record in invalid])
        left = ~np.isin(valid, list(dead))
        offsets, timestamps = records.offsets[valid[left]], records.timestamps[valid[left]]
        rows = rows if left.all() else rows.filter(pa.array(left))
        next_offset = int(records.offsets[-1]) + 1
        # 3. pass to the sink
        self._sink.write(Batch(partition, offsets, timestamps, rows, next_offset))
        self._positions[partition] = next_offset
        self.report.records += len(offsets)
        self.report.invalid += len(dead)
        return True

    def _flush(self, consumer: Consumer) -> None:
        # 4. make durable
        self._durable |= self._sink.flush()
        # 5. commit; without pending records the partition's end, beyond its transaction markers, so that the lag is 0
        offsets = []
        for partition, durable in self._durable.items():
            done = partition not in self._held_back and durable >= self._positions.get(partition, 0)
            end = self._end.get(partition, 0) if done else 0
            offsets.append(TopicPartition(partition.topic, partition.number, max(durable, end)))
        if offsets:
            self._commit(consumer, offsets)
        self._durable.clear()

    def _commit(self, consumer: Consumer, offsets: list[TopicPartition]) -> None:
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # The effect is durable and the sink knows its position; only the group's lag is too high until the next
            # commit.
            log.warning("group %s couldn't commit %s: %s", self._group, offsets, error.args[0])

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._joined_at is None:
            self._joined_at = time.monotonic()
        # Partitions assigned while this member leaves go to other members at once, and a closing client doesn't answer.
        if not partitions or self._closing:
            return
        for entry in require_committed(consumer, self._connection, partitions, self._group):
            partition = Partition(entry.topic, entry.partition)
            committed = entry.offset if entry.offset >= 0 else None
            start = self._sink.assigned(partition, committed)
            if start is None:
                start = OFFSET_BEGINNING if committed is None else committed
            self._positions[partition] = -1
            self._end.pop(partition, None)
            target = next(p for p in partitions if p.partition == entry.partition)
            target.offset = self._available(consumer, partition, start)
            log.info("%s is read in group %s from offset %s", partition, self._group, target.offset)
        self._records.forward_queues(entry.partition for entry in partitions)
        consumer.incremental_assign(partitions)

    def _available(self, consumer: Consumer, partition: Partition, start: int) -> int:
        first = first_available(consumer, self._connection, partition, start, self._group)
        self.report.taken_by_retention += first - start
        return first

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if not self._failed:
            self._flush(consumer)
        self._forget(consumer, partitions)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.warning("group %s gave %s to another member: this one was away too long", self._group, partitions)
        self._forget(consumer, partitions)
        consumer.incremental_unassign(partitions)

    def _forget(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        gone = [Partition(entry.topic, entry.partition) for entry in partitions]
        self._held_back.forget(consumer, gone)
        self._sink.revoked(gone)
        for partition in gone:
            for state in (self._positions, self._end, self._durable):
                state.pop(partition, None)

    def _require_topic(self, consumer: Consumer) -> None:
        error = self._connection.open(consumer, self._topic).topics[self._topic].error
        if error is not None:
            if error.code() == Code.UNKNOWN_TOPIC_OR_PART:
                raise KafkaError(f"topic {self._topic} isn't there: {error}. Run the DAG start_kafka first")
            raise self._connection.error(error, doing=f"reading {self._topic}")

    def _log_progress(self, seconds: float) -> None:
        log.info(
            "group %s: %s records of %s in %.0f s, %d invalid, %d of %d partitions read to their end",
            self._group,
            f"{self.report.records:,}",
            self._topic,
            seconds,
            self.report.invalid,
            len(self._positions.keys() & self._end.keys()),
            len(self._positions),
        )
