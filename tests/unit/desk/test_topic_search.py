import pytest
from fraudstream.desk.topic_search import partition_of


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
