"""The partition of a key is the one that Kafka's own clients compute."""

from confluent_kafka import Message, Producer
from fraudstream.settings import Settings

#: The murmur2 hash of each key, from Kafka's own test.
_HASHES = {
    "21": -973932308,
    "foobar": -790332482,
    "a-little-bit-long-string": -985981536,
    "a-little-bit-longer-string": -1486304829,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    "abc": 479470107,
}
_PARTITIONS = 4


def test_producers_choose_the_partition_that_kafkas_own_clients_choose() -> None:
    settings = Settings(kafka_bootstrap_servers="none")
    producer = Producer(settings.producer_config(**{"test.mock.num.brokers": 1}))
    found: dict[str, int] = {}

    def delivered(_: object, message: Message) -> None:
        found[(message.key() or b"").decode()] = message.partition() or 0

    for key in _HASHES:
        producer.produce("topic", b"", key, on_delivery=delivered)
    assert producer.flush(30) == 0
    assert found == {key: (value & 0x7FFFFFFF) % _PARTITIONS for key, value in _HASHES.items()}
