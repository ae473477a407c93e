"""Reads the state of topic mail_retry for the audit. It has no folder in the lake, and a retention of a week."""

import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, TopicPartition
from confluent_kafka import KafkaError as Code

from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.client.client_config import one_read
from fraudstream.kafka.records import MAIL_RETRY, Partition
from fraudstream.kafka.topic.group_offsets import committed_offsets
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.audit.offsets import Offsets
from fraudstream.lake.audit.reader import read_letters
from fraudstream.settings import Settings

log = logging.getLogger(__name__)

_SECONDS = 30
_GROUP = f"send_mail-{MAIL_RETRY}"


@dataclass(frozen=True, slots=True)
class Retries:
    """The state of deferred mails."""

    #: The committed offsets of the group that retries them.
    committed: Mapping[Partition, int] = field(default_factory=dict)
    #: Unread records that are older than the time for which mails are retried, by more than an hour.
    overdue: dict[Partition, Offsets] = field(default_factory=dict)
    #: Records whose dead letters were written since the last green audit.
    dead: dict[Partition, Offsets] = field(default_factory=dict)
    #: The next offset of each partition of the dead-letter topic.
    ends: dict[Partition, int] = field(default_factory=dict)


def read_retries(
    settings: Settings, topics: Topics, since: Mapping[Partition, int], logged: Mapping[Partition, int]
) -> Retries:
    """Reads the state of deferred mails from the brokers.

    :param since: the offsets of the last green audit, which include its `ends`
    :param logged: the end of the mail log for each topic-partition
    :raises KafkaError: the brokers don't answer
    """
    partitions = topics.partitions(MAIL_RETRY)
    try:
        young = _first_since(settings, partitions, time.time() - (settings.mail_retry_hours + 1) * 3600)
        committed = committed_offsets(settings, _GROUP, partitions)
    except KafkaException as error:
        raise KafkaUnavailable(
            f"the offsets of topic {MAIL_RETRY} and group {_GROUP} can't be read: {error}"
        ) from error
    overdue = {}
    for partition in partitions:
        read = max(committed.get(partition, 0), logged.get(partition, 0), topics.first_offset(partition))
        overdue[partition] = np.arange(read, young.get(partition, topics.end_offset(partition)), dtype=np.int64)
    letters, ends = read_letters(settings, MAIL_RETRY, since)
    dead = {partition: np.asarray(sorted(offsets), np.int64) for partition, offsets in letters.items()}
    return Retries(committed, overdue, dead, ends)


def _first_since(settings: Settings, partitions: Iterable[Partition], moment: float) -> dict[Partition, int]:
    """The offset of the first record of each partition at or after a time. Partitions without one are omitted.

    :param moment: seconds since 1970
    :raises KafkaException: the brokers don't answer, or a leader is changing
    """
    consumer = Consumer(settings.kafka_config(**one_read(f"audit-{uuid.uuid4().hex}")), logger=log)
    try:
        asked = [TopicPartition(*partition, int(moment * 1000)) for partition in partitions]
        found = consumer.offsets_for_times(asked, timeout=_SECONDS)
    finally:
        consumer.close()
    for place in found:
        if place.error is not None or place.offset == OFFSET_INVALID:  # OFFSET_INVALID: the leader just went away
            raise KafkaException(place.error or Code(Code.LEADER_NOT_AVAILABLE))
    return {Partition(place.topic, place.partition): place.offset for place in found if place.offset >= 0}
