"""Lag of consumer groups in records and seconds, from the brokers' offsets."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError as Code
from confluent_kafka import TopicPartition
from fraudstream.kafka.records import FRAUD_TRANSACTION, MAIL_RETRY, MAIL_RETRY_WAITS, Partition
from fraudstream.kafka.topic import group_offsets
from fraudstream.pipeline.sampling import group_lag
from fraudstream.pipeline.sampling.group_lag import GroupLag
from fraudstream.pipeline.sampling.groups import GROUPS, Group
from fraudstream.settings import Settings

#: Age in seconds of each record by topic-partition; the first offset is 0.
AGES: Mapping[Partition, Sequence[float]] = {
    Partition(FRAUD_TRANSACTION, 0): [900.0, 800.0, 50.0],
    Partition(FRAUD_TRANSACTION, 1): [700.0],
    Partition(MAIL_RETRY, 1): [1_000.0],
}
WRITERS = Group(FRAUD_TRANSACTION, "write_lake", "x")
SENDERS = Group(FRAUD_TRANSACTION, "send_mail", "x")


COMMITTED: Mapping[str, Mapping[Partition, int]] = {
    WRITERS.name: {Partition(FRAUD_TRANSACTION, 0): 2, Partition(FRAUD_TRANSACTION, 1): 1},
    "send_mail-mail_retry": {Partition(MAIL_RETRY, 1): 0},
}


class Admin:
    """Must not be asked for offsets of groups, because librdkafka may abort the process."""

    def __init__(self, config: object) -> None:
        pass


class Message:
    """A record, or the end of a partition."""

    def __init__(self, partition: Partition, age: float | None) -> None:
        self._partition, self._age = partition, age

    def topic(self) -> str:
        return self._partition.topic

    def partition(self) -> int:
        return self._partition.number

    def error(self) -> Code | None:
        return Code(Code._PARTITION_EOF) if self._age is None else None

    def timestamp(self) -> tuple[int, int]:
        return 1, int((time.time() - (self._age or 0)) * 1000)


class Consumer:
    """Returns the records of its assigned partitions; a paused partition stays paused, as in librdkafka."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._group = config["group.id"]
        self._at: dict[Partition, int] = {}
        self._paused: set[Partition] = set()
        #: Partitions whose leader doesn't answer.
        self.silent: set[Partition] = set()

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        offsets = COMMITTED.get(self._group, {})
        return [
            TopicPartition(place.topic, place.partition, offsets.get(Partition(place.topic, place.partition), -1001))
            for place in places
        ]

    def close(self) -> None:
        pass

    def assign(self, places: list[Any]) -> None:
        self._at = {Partition(place.topic, place.partition): place.offset for place in places}

    def unassign(self) -> None:
        self._at = {}

    def incremental_unassign(self, places: list[Any]) -> None:
        for place in places:
            del self._at[Partition(place.topic, place.partition)]

    def pause(self, places: list[Any]) -> None:
        self._paused |= {Partition(place.topic, place.partition) for place in places}

    def poll(self, timeout: float) -> Message | None:
        for partition, offset in self._at.items():
            if partition not in self._paused | self.silent:
                self._at[partition] = offset + 1
                ages = AGES[partition]
                return Message(partition, ages[offset] if offset < len(ages) else None)
        return None


@pytest.fixture
def lag(monkeypatch: pytest.MonkeyPatch) -> GroupLag:
    monkeypatch.setattr(group_lag, "AdminClient", Admin)
    monkeypatch.setattr(group_lag, "Consumer", Consumer)
    monkeypatch.setattr(group_offsets, "Consumer", Consumer)
    monkeypatch.setattr(group_lag, "_FETCH_SECONDS", 0.5)
    return GroupLag(Settings())


def bounds(markers: int = 0) -> dict[Partition, tuple[int, int]]:
    """First offset and end of each partition, with this many transaction markers after the records."""
    return {partition: (0, len(ages) + markers) for partition, ages in AGES.items()}


def test_each_group_has_its_own_oldest_record(lag: GroupLag) -> None:
    found = lag.lags([WRITERS, SENDERS], bounds(), [])
    writers, senders = found[WRITERS.name], found[SENDERS.name]
    assert (writers.lag, senders.lag) == (1, 4)  # the other group has committed nothing
    assert writers.age == pytest.approx(50, abs=5)
    assert senders.age == pytest.approx(900, abs=5)


def test_a_group_that_has_read_all_records_does_not_lag_though_markers_lie_behind_them(lag: GroupLag) -> None:
    place = Partition(FRAUD_TRANSACTION, 1)
    found = lag.lags([WRITERS], {place: bounds(markers=1)[place]}, [])
    assert (found[WRITERS.name].lag, found[WRITERS.name].age) == (0, None)
    assert lag.lags([WRITERS], {place: (0, 1)}, [])[WRITERS.name].lag == 0


def test_a_mail_that_is_to_be_tried_later_is_late_only_after_that_and_the_next_run(lag: GroupLag) -> None:
    retries = next(group for group in GROUPS if group.topic == MAIL_RETRY)
    place = Partition(MAIL_RETRY, 1)
    found = lag.lags([retries], {place: (0, 1)}, [])[retries.name]
    assert found.age == pytest.approx(1_000 - MAIL_RETRY_WAITS[1] - retries.period, abs=5)


def test_what_retention_took_does_not_count(lag: GroupLag) -> None:
    place = Partition(FRAUD_TRANSACTION, 0)
    found = lag.lags([SENDERS], {place: (1, 3)}, [])[SENDERS.name]
    assert (found.lag, found.age) == (2, pytest.approx(800, abs=5))


def test_a_partition_that_gives_no_answer_has_lag_of_unknown_age_and_is_a_problem(lag: GroupLag) -> None:
    silent = Partition(FRAUD_TRANSACTION, 0)
    lag._consumer.silent.add(silent)  # type: ignore[attr-defined]
    problems: list[str] = []
    found = lag.lags([SENDERS], {silent: bounds()[silent]}, problems)[SENDERS.name]
    assert (found.lag, found.age) == (3, None)
    assert problems == [
        "the age of the lag of group send_mail-fraud_transaction is unknown or too low: partitions [0] of topic "
        "fraud_transaction gave no record within 0.5 s"
    ]
    found = lag.lags([SENDERS], bounds(), problems)[SENDERS.name]
    assert (found.lag, found.age, len(problems)) == (4, pytest.approx(700, abs=5), 2)
