"""What an audit counts beside the records: each check has a limit, above which the audit is red."""

from collections.abc import Mapping
from dataclasses import dataclass

from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.audit.topics import TOPICS, TopicsContent
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from fraudstream.lake.stream.retention import unread


@dataclass(frozen=True, slots=True)
class Limits:
    """How many of each an audit accepts, since the last green one."""

    dead_letters: int = 0
    undelivered_mails: int = 0
    #: Offsets, of which a few are transaction markers.
    retention_gaps: int = 0
    changed_topics: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One of them, and where it was found."""

    name: str
    found: int
    limit: int
    where: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it is within its limit."""
        return self.found <= self.limit

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"name": self.name, "found": self.found, "limit": self.limit, "where": list(self.where)}


def checks(
    store: ObjectStore,
    topics: Topics,
    content: TopicsContent,
    failed_mails: int,
    limits: Limits,
) -> list[Check]:
    """All checks.

    :raises KafkaError: the brokers don't say what they have
    """
    dead = {str(partition): len(of.dead) for partition, of in sorted(content.partitions.items())}
    gaps: dict[str, int] = {}
    changed: dict[str, int] = {}
    for topic in TOPICS:
        now = topics.id(topic)
        for folder in (FOLDER_OF[topic], MAILS):
            for one in unread(store, topics, folder, topic):
                gaps[f"{one.partition} to {folder}/"] = one.taken
            for partition, there in progress.every(store, folder).items():
                if partition.topic == topic:
                    anew = there.topic_id not in {None, now} or there.end > topics.end_offset(partition)
                    changed[f"{partition} to {folder}/"] = int(anew)
    return [
        _check("dead letters", dead, limits.dead_letters),
        Check("undelivered mails", failed_mails, limits.undelivered_mails),
        _check("records that retention took unread", gaps, limits.retention_gaps),
        _check("topic-partitions recreated or truncated", changed, limits.changed_topics),
    ]


def _check(name: str, found: Mapping[str, int], limit: int) -> Check:
    where = tuple(f"{place}: {count}" for place, count in found.items() if count)
    return Check(name, sum(found.values()), limit, where)
