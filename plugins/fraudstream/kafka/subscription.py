"""The one engine behind every arrow "topic → something": a consumer group member that feeds a sink.

The protocol, numbered as in the code:

1. poll up to some thousand records,
2. split them by partition, decode each part at once, send what can't be decoded to the dead letters and wait for them,
3. hand the rows to the sink, which may begin to make them durable,
4. when the sink says so: flush it,
5. commit the offsets that the sink made durable.

A crash after any step repeats at most what came after the last 4; a sink that must not repeat an effect remembers
its own position beside the effect and names it in ``assigned``. The group's committed offset then only shows lag.
"""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd  # noqa: F401  # Arrow imports it when it first converts a value: not while records wait
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaError, KafkaUnavailable
from fraudstream.kafka.codec import Codec
from fraudstream.kafka.columns_consumer import ColumnsConsumer, Records
from fraudstream.kafka.connection import Connection
from fraudstream.kafka.dead_letters import DeadLetters
from fraudstream.kafka.records import Batch, Partition, Sink
from fraudstream.kafka.topic_identity import SameTopic, first_available
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

Until = Literal["forever", "caught_up"]
_POLL_RECORDS = 10_000
_POLL_SECONDS = 0.2
_REPORT_SECONDS = 10.0
#: A member that joins others is first given nothing, until they have let go of its share.
_SHARE_WITHIN_SECONDS = 10.0


@dataclass
class Report:
    """What a run did: records handed to the sink, records that went to the dead letters or were passed over."""

    topic: str
    group: str
    records: int = 0
    undecodable: int = 0
    #: Offsets that were deleted before the group read them.
    taken_by_retention: int = 0
    seconds: float = 0.0


class Subscription:
    """Reads a topic as a member of a consumer group until told to stop.

    :param until: ``forever``, or ``caught_up``: until each partition it was given has been read to its end; a member
        that none is left for waits some seconds for one
    :param max_seconds: longest run; the batch at hand is finished and committed
    :param dead_letters: where undecodable records go; None where another group of the topic sends them, then they
        are logged and passed over
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
    ) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._topic = topic
        self._group = group
        self._sink = sink
        self._codec = codec
        self._until = until
        self._max_seconds = max_seconds
        self._dead_letters = dead_letters
        self._stop = threading.Event()
        self._failed = self._closing = False
        self._joined_at: float | None = None
        #: Where reading stands, by partition owned: next offset handed to the sink, and offset of the end once met.
        self._positions: dict[Partition, int] = {}
        self._end: dict[Partition, int] = {}
        self._durable: dict[Partition, int] = {}
        self.report = Report(topic, group)

    def stop(self) -> None:
        """Ends the run after the batch at hand; safe from any thread and from a signal handler."""
        self._stop.set()

    def run(self) -> Report:
        """Runs until caught up, stopped or out of time; returns what it did.

        :raises KafkaUnavailable: the brokers don't answer at the start
        :raises KafkaRefused: they turn the user away, or a right is missing
        :raises TopicChanged: the topic was truncated, restored or made anew; it says what to do
        :raises FraudstreamError: what the sink or the registry raised; nothing is lost, a new run goes on
        """
        # Arrow's own allocator keeps for each thread what that one freed, though others use it: 50 MiB more.
        pa.set_memory_pool(pa.system_memory_pool())
        consumer = Consumer(
            self._settings.kafka_config(
                **{
                    "error_cb": self._connection.hear,
                    "group.id": self._group,
                    "isolation.level": "read_committed",
                    # Where an offset isn't there, nobody goes on elsewhere by themselves.
                    "auto.offset.reset": "error",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    "partition.assignment.strategy": "cooperative-sticky",
                    # A killed member's partitions move on after this; heartbeats go on while a sink is busy.
                    "session.timeout.ms": 10_000,
                    # A mail server that is down holds a flush up for as long as it is down: that is no dead member.
                    "max.poll.interval.ms": 3_600_000,
                    "queued.max.messages.kbytes": 32_768,
                    "fetch.wait.max.ms": 100,
                    # By default the client fetches nothing for a second once enough records wait in it.
                    "fetch.queue.backoff.ms": 20,
                }
            ),
            logger=log,
        )
        started = reported = time.monotonic()
        self._records = ColumnsConsumer(consumer, self._topic, _POLL_RECORDS)
        try:
            self._require_topic(consumer)
            topic = SameTopic(self._settings, self._topic, self._group)
            consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._finished(started):
                self._poll(consumer)
                if self._sink.due():
                    self._flush(consumer)
                if time.monotonic() - reported > _REPORT_SECONDS:
                    reported = time.monotonic()
                    topic.require_the_same()
                    self._log_progress(reported - started)
            self._flush(consumer)
        except BaseException:
            self._failed = True
            raise
        finally:
            self.report.seconds = time.monotonic() - started
            self._log_progress(self.report.seconds)
            self._closing = True
            self._records.close()
            consumer.close()
            self._sink.close()
        return self.report

    def _finished(self, started: float) -> bool:
        if self._stop.is_set() or time.monotonic() - started > self._max_seconds:
            return True
        if self._until == "forever" or self._joined_at is None:
            return False
        if not self._positions:
            return time.monotonic() - self._joined_at > _SHARE_WITHIN_SECONDS
        return self._positions.keys() <= self._end.keys()

    def _poll(self, consumer: Consumer) -> None:
        # 1. poll: what concerns the group, then the records
        message = consumer.poll(0)
        if message is not None:
            raise self._connection.error(message.error(), doing=f"reading {self._topic} in group {self._group}")
        found, failures = self._records.read(_POLL_SECONDS)
        for number, offset, error in failures:
            self._on_partition_eof(consumer, Partition(self._topic, number), offset, error)
        for number, records in found.items():
            partition = Partition(self._topic, number)
            if records.offsets[-1] >= self._end.get(partition, 0):
                self._end.pop(partition, None)
            if partition in self._positions:
                self._pass_to_sink(partition, records)

    def _on_partition_eof(self, consumer: Consumer, partition: Partition, offset: int, error: Code) -> None:
        if error.code() == Code._AUTO_OFFSET_RESET:
            self._available(consumer, partition, offset)
            raise KafkaUnavailable(f"{partition} begins behind offset {offset} now; a new run goes on at its beginning")
        if error.code() != Code._PARTITION_EOF:
            raise self._connection.error(error, doing=f"reading {partition} in group {self._group}")
        self._end[partition] = offset

    def _pass_to_sink(self, partition: Partition, records: Records) -> None:
        # 2. decode
        offsets, timestamps = records.offsets, records.timestamps
        rows, invalid = self._codec.decode_rows(records.values, timestamps)
        next_offset = int(offsets[-1]) + 1
        for record in invalid:
            self._send_to_dead_letters(partition, records, record.index, record.reason)
        if invalid:
            if self._dead_letters is not None:
                self._dead_letters.flush()
            without = [record.index for record in invalid]
            offsets, timestamps = np.delete(offsets, without), np.delete(timestamps, without)
        # 3. hand over
        self._sink.write(Batch(partition, offsets, timestamps, rows, next_offset))
        self._positions[partition] = next_offset
        self.report.records += len(offsets)

    def _send_to_dead_letters(self, partition: Partition, records: Records, index: int, reason: str) -> None:
        offset = int(records.offsets[index])
        self.report.undecodable += 1
        if self._dead_letters is None:
            log.warning("%s offset %d is passed over by group %s: %s", partition, offset, self._group, reason)
        else:
            key, value = records.key(index), records.values[index].as_py()
            self._dead_letters.put(partition, offset, key, value, reason)

    def _flush(self, consumer: Consumer) -> None:
        # 4. make durable
        self._durable |= self._sink.flush()
        # 5. commit; where nothing is pending, beyond the transaction markers at the end, so that lag shows as 0
        offsets = []
        for partition, durable in self._durable.items():
            end = self._end.get(partition, 0) if durable >= self._positions.get(partition, 0) else 0
            offsets.append(TopicPartition(partition.topic, partition.number, max(durable, end)))
        if offsets:
            self._commit(consumer, offsets)
        self._durable.clear()

    def _commit(self, consumer: Consumer, offsets: list[TopicPartition]) -> None:
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # The effect is durable and the sink knows its position; only the lag shown is behind until the next one.
            log.warning("group %s couldn't commit %s: %s", self._group, offsets, error.args[0])

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._joined_at is None:
            self._joined_at = time.monotonic()
        # What comes while this one leaves goes to others at once, and a client that closes answers nothing any more.
        if not partitions or self._closing:
            return
        for entry in consumer.committed(partitions, timeout=30):
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
        self._forget(partitions)
        consumer.incremental_unassign(partitions)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.warning("group %s gave %s to another member: this one was away too long", self._group, partitions)
        self._forget(partitions)
        consumer.incremental_unassign(partitions)

    def _forget(self, partitions: list[TopicPartition]) -> None:
        gone = [Partition(entry.topic, entry.partition) for entry in partitions]
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
            "group %s: %s records of %s in %.0f s, %d undecodable, %d of %d partitions read to their end",
            self._group,
            f"{self.report.records:,}",
            self._topic,
            seconds,
            self.report.undecodable,
            len(self._positions.keys() & self._end.keys()),
            len(self._positions),
        )
