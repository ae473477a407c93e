"""Writes records that can't be decoded to the topics, and records their places."""

import random
from collections.abc import Callable

from confluent_kafka import KafkaException, Message, Producer
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings

from tests.chaos.stack import PARTITIONS

#: By default brokers accept batches of at most 1,048,588 bytes; the batch's and record's headers need some of them.
_OVERSIZED = 1_048_000
_UNKNOWN_SCHEMA = 2_000_000_000

Place = tuple[str, int, int]
#: Makes a value from a random generator and from the wire format's header with the topic's own schema id.
Kind = Callable[[random.Random, bytes], bytes | None]


def _bytes(rng: random.Random, header: bytes) -> bytes | None:
    return rng.choice(
        [
            None,
            b"",
            b"\x00\x00",
            b"poison" + rng.randbytes(40),
            header,
            header + rng.randbytes(3),
            header + b"\xff" * 60,
        ]
    )


def _unknown_schema(rng: random.Random, header: bytes) -> bytes:
    return b"\x00" + _UNKNOWN_SCHEMA.to_bytes(4, "big") + rng.randbytes(60)


def _oversized(rng: random.Random, header: bytes) -> bytes:
    return header + b"\xff" * 16 + rng.randbytes(_OVERSIZED - len(header) - 16)


KINDS: dict[str, Kind] = {"poison bytes": _bytes, "unknown schema id": _unknown_schema, "oversized record": _oversized}


#: Seconds; longer than librdkafka's message.timeout.ms, whose error says more.
_TAKEN_WITHIN = 330.0


class Poisoner:
    """Writes bad records and records their places."""

    topics: tuple[str, ...] = (FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION)

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer(
            settings.kafka_config(**{"acks": "all", "enable.idempotence": True, "message.max.bytes": 2_000_000})
        )
        self._header = {topic: Codec.for_topic(topic, settings)._own_header() for topic in self.topics}
        #: Value of each bad record by topic, partition and offset.
        self.written: dict[Place, bytes | None] = {}

    def write(self, kind: str, rng: random.Random) -> None:
        """Writes one record; returns when the brokers have it, however long they are down."""
        topic = rng.choice(sorted(self._header))
        value = self._value(kind, topic, rng)
        self._producer.produce(topic, value=value, partition=rng.randrange(PARTITIONS), on_delivery=self._delivered)
        if self._producer.flush(_TAKEN_WITHIN):
            raise TimeoutError(f"the brokers didn't take a bad record for {topic} within {_TAKEN_WITHIN:.0f} s")

    def _value(self, kind: str, topic: str, rng: random.Random) -> bytes | None:
        return KINDS[kind](rng, self._header[topic])

    def _delivered(self, error: KafkaException | None, message: Message) -> None:
        if error is not None:
            raise KafkaException(error)
        self.written[message.topic() or "", message.partition() or 0, message.offset() or 0] = message.value()
