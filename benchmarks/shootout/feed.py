"""Reads records once from a topic of the pipeline, and produces them unchanged to the topic of each trial."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition
from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings

from benchmarks.harness.rounds import BenchmarkFailed
from local.topics import partitions, reader, records

#: Interval at which a feed sends the records that are due.
_TURN_SECONDS = 0.05
_FLUSH_SECONDS = 120.0


@dataclass(frozen=True)
class Records:
    """Keys and Avro values of records in the wire format, and their ids."""

    keys: list[bytes]
    values: list[bytes]
    ids: list[str]


def read_records(settings: Settings, rows: int) -> Records:
    """The first `rows` records of the non-fraud topic.

    :raises BenchmarkFailed: the topic has fewer records
    """
    codec = Codec.for_topic(NON_FRAUD_TRANSACTION, settings)
    with reader(settings) as consumer:
        messages = list(records(consumer, settings, NON_FRAUD_TRANSACTION))[:rows]
    if len(messages) < rows:
        raise BenchmarkFailed(f"topic {NON_FRAUD_TRANSACTION} has {len(messages):,} records, expected {rows:,}")
    ids = codec.decode_messages(messages).rows.column("idTransaction").to_pylist()
    return Records(
        [message.key() or b"" for message in messages], [message.value() or b"" for message in messages], ids
    )


class Feed:
    """Produces the records of one trial in a thread, at a constant rate."""

    def __init__(self, settings: Settings, topic: str, produced: Records) -> None:
        self._settings = settings
        self._topic = topic
        self._records = produced
        self._producer = Producer(
            settings.kafka_config(
                **{
                    "enable.idempotence": True,
                    "linger.ms": 5,
                    "log_level": 2,
                    "queue.buffering.max.messages": 2_000_000,
                }
            )
        )
        self._sent = 0
        self._thread: threading.Thread | None = None

    @property
    def fed(self) -> int:
        """How many records the brokers have acknowledged."""
        return self._sent - len(self._producer)

    def send(self, until: int) -> None:
        """Produces all records before this number as fast as possible."""
        self._send(until)
        self._producer.flush(_FLUSH_SECONDS)

    def start(self, seconds: float) -> None:
        """Starts producing the remaining records within this time, in a thread."""
        self._thread = threading.Thread(target=self._run, args=(seconds,), name="feed")
        self._thread.start()

    def finish(self) -> None:
        """Waits until all records are produced.

        :raises BenchmarkFailed: the topic doesn't have as many records as the feed
        """
        if self._thread:
            self._thread.join()
        left = self._producer.flush(_FLUSH_SECONDS)
        there = sum(_ends(self._settings, self._topic).values())
        if left or there != len(self._records.ids):
            raise BenchmarkFailed(f"topic {self._topic} has {there:,} records, expected {len(self._records.ids):,}")

    def _run(self, seconds: float) -> None:
        first, rest = self._sent, len(self._records.ids) - self._sent
        begun = time.monotonic()
        while self._sent < len(self._records.ids):
            share = min(1.0, (time.monotonic() - begun) / seconds)
            self._send(first + int(rest * share))
            self._producer.poll(_TURN_SECONDS)

    def _send(self, until: int) -> None:
        keys, values = self._records.keys, self._records.values
        for number in range(self._sent, until):
            self._producer.produce(self._topic, values[number], keys[number])
        self._sent = max(self._sent, until)


def _ends(settings: Settings, topic: str) -> Mapping[int, int]:
    asking: Consumer
    with reader(settings) as asking:
        return {
            number: asking.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
            for number in partitions(asking, topic)
        }
