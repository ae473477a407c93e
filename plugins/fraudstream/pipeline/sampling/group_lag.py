"""Reads from the brokers the ends of topics, and the lag of each consumer group in records and seconds."""

import time
from collections.abc import Iterable, Mapping

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code
from confluent_kafka.admin import AdminClient, OffsetSpec

from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.client.connection import Connection
from fraudstream.kafka.records import MAIL_RETRY, MAIL_RETRY_WAITS, Partition
from fraudstream.kafka.topic.group_offsets import committed_offsets
from fraudstream.kafka.topic.topic_identity import require_offset
from fraudstream.kafka.topic.topic_reader import GROUP
from fraudstream.pipeline.sampling.groups import Group
from fraudstream.pipeline.sampling.sample import GroupFigures
from fraudstream.settings import Settings

_SECONDS = 15
#: Seconds to wait for the first records of a group's partitions. A record that comes later has no age in the sample.
_FETCH_SECONDS = 3.0

Bounds = Mapping[Partition, tuple[int, int]]


class GroupLag:
    """Reads the lag of consumer groups. It keeps its connections to the brokers. To be used from one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._admin = AdminClient(settings.kafka_config(error_cb=self._connection.on_error, log_level=3))
        self._consumer = Consumer(
            settings.kafka_config(
                **{
                    **one_read(GROUP),
                    "error_cb": self._connection.on_error,
                    "auto.offset.reset": "earliest",
                    "queued.min.messages": 1,
                    "fetch.queue.backoff.ms": 10,  # the next group's records are wanted at once
                    "max.partition.fetch.bytes": 65_536,
                }
            )
        )

    def close(self) -> None:
        """Closes the connections to the brokers."""
        self._consumer.close()

    def bounds(self, topics: Iterable[str]) -> dict[Partition, tuple[int, int]]:
        """The first offset and the end offset of each partition, for a read_committed reader.

        :raises KafkaError: the brokers don't answer or refuse
        """
        try:
            wanted = set(topics)
            found = self._admin.list_topics(timeout=_SECONDS).topics
            places = [
                TopicPartition(topic, number) for topic in wanted & found.keys() for number in found[topic].partitions
            ]
            first, last = (
                self._admin.list_offsets(
                    dict.fromkeys(places, spec),
                    isolation_level=IsolationLevel.READ_COMMITTED,
                    request_timeout=_SECONDS,
                )
                for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
            )
            return {
                Partition(place.topic, place.partition): (
                    require_offset(first[place].result(_SECONDS), place),
                    require_offset(last[place].result(_SECONDS), place),
                )
                for place in places
            }
        except (KafkaException, TimeoutError) as error:
            raise self._connection.error(error, doing="asking for the ends of the topics") from error

    def lags(self, groups: Iterable[Group], bounds: Bounds, problems: list[str]) -> dict[str, GroupFigures]:
        """The lag of each group. Transaction markers after the position of a group with lag count as records.

        :param problems: gets a message for each group of which a partition gave no answer in time
        :raises KafkaError: the brokers don't answer or refuse
        """
        found = {}
        try:
            for group in groups:
                committed = committed_offsets(
                    self._settings,
                    group.name,
                    [place for place in bounds if place.topic == group.topic],
                    error_cb=self._connection.on_error,
                )
                behind = {}
                for partition, (first, end) in bounds.items():
                    if partition.topic == group.topic and (start := max(first, committed.get(partition, 0))) < end:
                        behind[partition] = start
                times = self._first_times(behind)
                # a partition without a record has only transaction markers left, and no lag
                lag = sum(bounds[one][1] - start for one, start in behind.items() if times.get(one, 0.0) is not None)
                if silent := sorted(one.number for one in behind.keys() - times.keys()):
                    problems.append(
                        f"the age of the lag of group {group.name} is unknown or too low: partitions {silent} of topic "
                        f"{group.topic} gave no record within {_FETCH_SECONDS:g} s"
                    )
                taken = {one: at for one, at in times.items() if at is not None}
                oldest = min((at + _wait(one) + group.period for one, at in taken.items()), default=None)
                found[group.name] = GroupFigures(lag, None if oldest is None else max(0.0, time.time() - oldest))
        except (KafkaException, TimeoutError) as error:
            raise self._connection.error(error, doing="asking for the offsets of consumer groups") from error
        return found

    def _first_times(self, starts: Mapping[Partition, int]) -> dict[Partition, float | None]:
        """The timestamp of the first record at or after each offset, in seconds since 1970; None if there is no record.

        A partition that gave no answer in time is omitted.
        """
        times: dict[Partition, float | None] = {}
        if not starts:
            return times
        self._consumer.assign([TopicPartition(*partition, offset) for partition, offset in starts.items()])
        waiting, until = set(starts), time.monotonic() + _FETCH_SECONDS
        while waiting and (left := until - time.monotonic()) > 0:
            message = self._consumer.poll(left)
            if message is None:
                continue
            partition, error = Partition(message.topic() or "", message.partition() or 0), message.error()
            if partition not in waiting:
                continue  # fetched before the partition was unassigned
            if error is None:
                times[partition] = message.timestamp()[1] / 1000
            elif error.code() == Code._PARTITION_EOF:
                times[partition] = None
            if error is None or error.code() == Code._PARTITION_EOF:
                waiting.discard(partition)
                self._consumer.incremental_unassign([TopicPartition(*partition)])
        self._consumer.unassign()
        return times


def _wait(partition: Partition) -> int:
    """The waiting time of a partition's records in seconds, which isn't lag; 0 except for mail_retry."""
    if partition.topic == MAIL_RETRY and partition.number < len(MAIL_RETRY_WAITS):
        return MAIL_RETRY_WAITS[partition.number]
    return 0
