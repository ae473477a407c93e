"""Where a view begins to read its topic: at the beginning, or at the first record within its horizon."""

import time
from datetime import timedelta
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code


def start_offsets(
    consumer: Consumer, topic: str, ends: dict[int, int], horizon: timedelta | None
) -> list[TopicPartition]:
    """Returns the offset of each partition at which the horizon begins, or its end if no record is that young.

    :param ends: the end offset of each partition, read before this call
    :raises KafkaException: the brokers don't answer, or a partition has no leader at the moment
    """
    if horizon is None:
        return [TopicPartition(topic, number, OFFSET_BEGINNING) for number in ends]
    begin = int((time.time() - horizon.total_seconds()) * 1000)
    asked = [TopicPartition(topic, number, begin) for number in ends]
    answered = consumer.offsets_for_times(asked, timeout=10)
    for partition in answered:
        if partition.error is not None or partition.offset == OFFSET_INVALID:  # the partition has no leader now
            raise KafkaException(partition.error or Code(Code.LEADER_NOT_AVAILABLE))
        if partition.offset < 0:  # no record is that young
            partition.offset = ends[partition.partition]
    return cast(list[TopicPartition], answered)
