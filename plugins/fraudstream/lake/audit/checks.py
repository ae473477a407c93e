"""The checks of an audit besides the comparison of records. The audit is red if a count is above its limit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fraudstream.cases.events import MAIL_BOUNCED, MAIL_SUPPRESSED
from fraudstream.cases.undelivered import NAMES, PlacedEvent
from fraudstream.kafka.records import MAIL_RETRY, Partition
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.audit.offsets import Offsets, in_words, runs
from fraudstream.lake.audit.retries import Retries
from fraudstream.lake.audit.topics import TOPICS, TopicsContent
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.names import MAILS, folders_of
from fraudstream.lake.stream.retention import Unread, unread

#: A count, and the place of what was counted.
_Found = tuple[int, str]
_PLACES_NAMED = 20
_RETURNED = frozenset({MAIL_BOUNCED, MAIL_SUPPRESSED})


@dataclass(frozen=True, slots=True)
class Limits:
    """The highest accepted count of each check.

    Dead letters, failed mails and undelivered notices count since the last green audit, the others at present.
    """

    dead_letters: int = 0
    undelivered_mails: int = 0
    #: Fraud notices that bounced or were suppressed. Those that failed count as undelivered mails.
    undelivered_notices: int = 0
    #: Offsets that retention deleted unread. A few of them are transaction markers.
    retention_gaps: int = 0
    changed_topics: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a check: a count, its limit, and the places: topic, partition, offsets."""

    name: str
    found: int
    limit: int
    where: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the count is within its limit."""
        return self.found <= self.limit

    def to_dict(self) -> dict[str, object]:
        """The check as a JSON document."""
        return {"name": self.name, "found": self.found, "limit": self.limit, "where": list(self.where)}


def checks(
    store: ObjectStore,
    topics: Topics,
    content: TopicsContent,
    failed_mails: Mapping[Partition, Offsets],
    notices: Iterable[PlacedEvent],
    limits: Limits,
    retries: Retries,
) -> list[Check]:
    """Runs all checks.

    :param failed_mails: offsets of mails that will not be retried, by the topic-partition of their records
    :param notices: the last event of each fraud notice that didn't reach its customer
    :param retries: the state of deferred mails
    :raises KafkaError: the brokers don't return the topics' ids or offsets
    :raises LakeError: the progress objects can't be read
    """
    gaps: list[_Found] = []
    changed: list[_Found] = []
    for topic in (*TOPICS, MAIL_RETRY):
        now = topics.id(topic)
        for folder in (MAILS,) if topic == MAIL_RETRY else folders_of(topic):
            gaps += [_gap(one) for one in unread(store, topics, folder, topic, retries.committed) if one.taken]
            for partition, there in progress.every(store, folder).items():
                if partition.topic != topic:
                    continue
                read, end = f"{partition} to {folder}/: read up to offset {there.end}", topics.end_offset(partition)
                if there.topic_id not in {None, now}:
                    changed.append((1, f"{read} of topic id {there.topic_id}, found topic id {now}"))
                elif there.end > end:
                    changed.append((1, f"{read}, the topic ends at offset {end}"))
    dead = {partition: of.dead for partition, of in content.partitions.items()} | retries.dead
    returned = [(1, _notice(one)) for one in notices if one.event.event_type in _RETURNED]
    return [
        _check("dead letters", _offsets(dead), limits.dead_letters),
        _check("undelivered mails", _offsets(failed_mails), limits.undelivered_mails),
        _check("deferred mails not tried again in time", _offsets(retries.overdue), limits.undelivered_mails),
        _check("fraud notices bounced or suppressed", returned, limits.undelivered_notices),
        _check("records that retention took unread", gaps, limits.retention_gaps),
        _check("topic-partitions recreated or truncated", changed, limits.changed_topics),
    ]


def _check(name: str, found: list[_Found], limit: int) -> Check:
    where = [text for _, text in found[:_PLACES_NAMED]]
    if len(found) > _PLACES_NAMED:
        where.append(f"and {len(found) - _PLACES_NAMED} more")
    return Check(name, sum(count for count, _ in found), limit, tuple(where))


def _offsets(found: Mapping[Partition, Offsets]) -> list[_Found]:
    return [
        (len(offsets), f"{partition}: {len(offsets)} (offsets {in_words(runs(offsets))})")
        for partition, offsets in sorted(found.items())
        if len(offsets)
    ]


def _notice(one: PlacedEvent) -> str:
    return f"{one.partition}: {NAMES[one.event.event_type]}, case {one.event.id_transaction} (offset {one.offset})"


def _gap(one: Unread) -> _Found:
    now = (one.next_unread, one.first_available - 1)
    places = [f"offsets {in_words([now])}"] if one.first_available > one.next_unread else []
    places += [f"{one.taken_before} before offset {one.next_unread}"] if one.taken_before else []
    return one.taken, f"{one.partition} to {one.folder}/: {one.taken} ({', '.join(places)})"
