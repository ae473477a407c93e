from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.desk import topic_search
from fraudstream.desk.topic_search import TopicSearch, partition_of
from fraudstream.settings import Settings


class Message:
    """A record at an offset of partition 0, with its time; without a time it is the end of the partition."""

    def __init__(self, offset: int, time: int | None = None) -> None:
        self._offset, self._time = offset, time

    def error(self) -> Code | None:
        return Code(Code._PARTITION_EOF) if self._time is None else None

    def topic(self) -> str:
        return "fraud_confirmation"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int | None]:
        return 2, self._time

    def value(self) -> bytes:
        return b"tx-1"


def test_records_of_a_partition_stay_in_its_order_when_the_clock_of_its_broker_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = [Message(7, 100_001), Message(8, 40_000), Message(9)]
    consumer = SimpleNamespace(assign=list, unassign=list, close=list, consume=lambda most, seconds: messages)
    codec = SimpleNamespace(decode=lambda value: {"idTransaction": value.decode()})
    monkeypatch.setattr(topic_search, "Consumer", lambda config: consumer)
    monkeypatch.setattr(topic_search.Codec, "for_topic", lambda topic, settings: codec)
    with TopicSearch(Settings()) as topics:
        found = topics.search("fraud_confirmation", "tx-1", {0: 0}, 5)
    assert [hit.offset for hit in found.hits] == [7, 8]


@pytest.mark.parametrize(
    ("key", "hash_of_kafka"),
    [  # murmur2 of each key, from Kafka's own test of it
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_the_partition_of_a_key_is_the_one_that_producers_choose(key: str, hash_of_kafka: int) -> None:
    for partitions in (1, 4, 6, 50, 2**31):
        assert partition_of(key.encode(), partitions) == (hash_of_kafka & 0x7FFFFFFF) % partitions
