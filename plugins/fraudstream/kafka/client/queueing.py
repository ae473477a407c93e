"""Queues a record in a client whose queue may be full of records that the brokers haven't confirmed yet."""

import time
from typing import Any

from confluent_kafka import Producer

from fraudstream.errors import KafkaUnavailable


def queue(producer: Producer, topic: str, *, seconds: float, **record: Any) -> None:
    """Queues a record. If the client's queue is full, waits up to `seconds` for room.

    :raises KafkaUnavailable: the queue is still full, because the brokers confirm no records
    :raises KafkaException: the client refuses the record
    """
    until = time.monotonic() + seconds
    while True:
        try:
            producer.produce(topic, **record)
        except BufferError as error:
            if time.monotonic() > until:
                raise KafkaUnavailable(
                    f"a record for topic {topic} got no room in the Kafka client within {seconds:g} s: "
                    f"{len(producer):,} others wait for the brokers. Are they running, and is their disk or network "
                    f"slow? A new run writes it again"
                ) from error
            producer.poll(0.1)
        else:
            return
