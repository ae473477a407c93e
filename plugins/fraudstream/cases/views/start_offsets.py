"""Where a view begins to read its topic: at the beginning, or at the first record within its horizon."""

import time
from datetime import timedelta
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code


def start_offsets(
    consumer: Consumer, topic: str, ends: dict[int, int], horizon: timedelta | None
) -> list[TopicPartition]:
    """The offset of each partition at which the horizon begins, its end where nothing is that young.

    :param ends: end of each partition, asked before this
    :raises KafkaException: the brokers don't answer, or a partition has no leader at the moment
    """
    if horizon is None:
        return [TopicPartition(topic, number, OFFSET_BEGINNING) for number in ends]
    begin = int((time.time() - horizon.total_seconds()) * 1000)
    asked = [TopicPartition(topic, number, begin) for number in ends]
    answered = consumer.offsets_for_times(asked, timeout=10)
    for partition in answered:
        if partition.error is not None or partition.offset == OFFSET_INVALID:  # its leader just went away
            raise KafkaException(partition.error or Code(Code.LEADER_NOT_AVAILABLE))
        if partition.offset < 0:  # nothing is that young
            partition.offset = ends[partition.partition]
    return cast(list[TopicPartition], answered)
