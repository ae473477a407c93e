"""The position of the last green audit, and the history of all audits, in folder audit/ of the lake.

::

    audit/position.json                                     offsets up to which topics, lake and mail log agreed
    audit/dt=2023-10-08/20231008T120003Z.jsonl              lines of one audit, for queries over time

Each line has ``auditedAt``, and ``ok`` of the whole audit. In addition it has the counts of a topic-partition and
target, or ``name``, ``found``, ``limit`` and ``where`` of a check.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from fraudstream.errors import LakeError
from fraudstream.kafka.records import CASE_EVENT, Partition
from fraudstream.lake.store.objects import JSON, ObjectStore

_FOLDER = "audit"
_POSITION = f"{_FOLDER}/position.json"
#: The name in a position for case_event as the source of undelivered notices. They are counted from the topic itself,
#: so this position may be ahead of that of the lake.
NOTICES = f"{CASE_EVENT} notices"


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset to audit of each topic-partition, the topics' ids, and the generation of the stored object."""

    ends: Mapping[Partition, int] = field(default_factory=dict)
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0

    def since(self, topic_ids: Mapping[str, str]) -> dict[Partition, int]:
        """The offsets to continue at. Those of a recreated topic are omitted: it is audited from its beginning.

        :param topic_ids: the present ids of the topics
        """
        return {
            partition: end
            for partition, end in self.ends.items()
            if self.topic_ids.get(partition.topic) in {None, topic_ids.get(partition.topic)}
        }


def load(store: ObjectStore) -> Position:
    """The position of the last green audit; one without offsets if there was none, so that everything is audited.

    :raises LakeError: the object is unreadable
    """
    found = store.get(_POSITION)
    if found is None:
        return Position()
    try:
        document = json.loads(found.data)
        ends = {Partition(one["topic"], int(one["partition"])): int(one["end"]) for one in document["ends"]}
        return Position(ends, dict(document["topic_ids"]), found.info.generation)
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"object {_POSITION} is unreadable ({error!r}): delete it, then the next audit is a full one"
        ) from error


def save(store: ObjectStore, position: Position, at: datetime) -> None:
    """Replaces the stored position of generation `position.generation`.

    If another audit has replaced it already, nothing is written.
    """
    ends = [{"topic": p.topic, "partition": p.number, "end": end} for p, end in sorted(position.ends.items())]
    document = {"at": at.isoformat(), "ends": ends, "topic_ids": dict(position.topic_ids)}
    store.replace(_POSITION, json.dumps(document).encode(), position.generation, content_type=JSON)


def rewind(store: ObjectStore, kept: Mapping[Partition, int]) -> None:
    """Moves the position back to these offsets: from there on, the partitions have other records than were audited.

    :raises LakeError: the position is unreadable
    """
    kept = {**kept, **{Partition(NOTICES, p.number): end for p, end in kept.items() if p.topic == CASE_EVENT}}
    while True:
        there = load(store)
        ends = {partition: min(end, kept.get(partition, end)) for partition, end in there.ends.items()}
        if ends == there.ends:
            return
        save(store, replace(there, ends=ends), datetime.now(UTC))  # repeated if an audit has replaced it


def add_to_history(store: ObjectStore, report: Mapping[str, Any], at: datetime) -> None:
    """Writes the lines of an audit's report to a new object."""
    head = {"auditedAt": at.isoformat(), "ok": report["ok"]}
    lines = [json.dumps({**head, **line}) for line in [*report["lines"], *report["checks"]]]
    name = f"{_FOLDER}/dt={at:%Y-%m-%d}/{at:%Y%m%dT%H%M%S%fZ}.jsonl"
    store.create(name, "".join(line + "\n" for line in lines).encode(), content_type=JSON, metadata={})
