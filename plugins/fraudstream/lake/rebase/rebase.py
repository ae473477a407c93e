"""Rolls the lake back to the state of a topic that was recreated, restored or truncated.

Kafka is the source of truth, the lake is derived from it. Each partition has an offset up to which the lake and the
topic have the same records. Objects with records before it are kept. Objects with later records are moved out of the
folders, so that their names are free when the consumers write the topic's records. Otherwise the consumers would adopt
the old objects and skip the new records.

The steps, numbered as in the code; the topic must have no running consumers meanwhile:

1. decide for each partition up to which offset records are kept, and store the decision, so that a repetition after a
   crash uses it again,
2. move the objects with later records to _rebased/<time>/; an object with kept and later records is cut: it is
   created again with the kept ones,
3. move the progress objects back, with the topic's new id; from then on consumers can continue,
4. delete the decision.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from isal import igzip

from fraudstream.cases import claims
from fraudstream.errors import LakeError, TopicChanged
from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.store.objects import GZIP, JSON, ObjectStore, StoredObject, unpacked
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.appending import written_end
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import totals_of_lines

log = logging.getLogger(__name__)

_ASIDE = "_rebased/"
_CASES = "_cases"
#: The folders that have chains.
_FOLDERS = (*names.FOLDERS, _CASES)

InTable = Callable[[str], Mapping[Partition, int]]


@dataclass(frozen=True)
class Plan:
    """The plan for one topic."""

    topic: str
    topic_id: str
    #: The time of the decision. Objects that are set aside have it in their names.
    time: str
    #: By partition, the offset up to which records are kept, and from which the topic's records are written again.
    kept: dict[Partition, int]
    #: By partition, the reason for the rebase.
    reasons: dict[Partition, str] = field(default_factory=dict)
    #: Names of the objects that are set aside or cut.
    objects: list[str] = field(default_factory=list)
    #: By name, the progress objects before and after the rebase.
    moves: dict[str, tuple[Progress, Progress]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.objects or self.moves)


def plan(
    store: ObjectStore,
    topics: Topics,
    topic: str,
    agreement: Callable[[Partition, int], int],
    in_table: InTable = lambda folder: {},
) -> Plan:
    """Returns what a rebase would do; changes nothing.

    :param agreement: returns the first offset below the given one at which lake and topic differ, or the given one
    :param in_table: returns for a folder the first offset of each topic-partition that its table doesn't have yet
    :raises LakeError: a table has records that would have to be removed
    """
    # 1. decide, or use the stored decision
    found = _decided(store, topic)
    topic_id = topics.id(topic)
    chains = {
        (folder, partition): there
        for folder in _FOLDERS
        for partition, there in _chains(store, folder).items()
        if partition.topic == topic
    }
    if found is None or found.topic_id != topic_id or not _filled(store, found, chains):
        found = Plan(topic, topic_id, datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), {})
        there = set(topics.partitions(topic))
        claimed = [part for _, parts in _unfinished(store, topic) for part in parts]
        for partition in sorted({partition for _, partition in chains} | {part.partition for part in claimed}):
            # A writer that died may have left objects after its progress. Their records count as read.
            known = {
                folder: replace(position, end=written_end(store, folder, partition, partial(in_table, folder)))
                for (folder, other), position in chains.items()
                if other == partition
            }
            ends = [part.end for part in claimed if part.partition == partition]
            if ends:
                position = known.get(_CASES, Progress(0, 0))
                known[_CASES] = replace(position, end=max(position.end, *ends))
            end = topics.end_offset(partition) if partition in there else 0
            reason, kept = _decision(partition, known, topic_id, end, agreement)
            if reason:
                found.kept[partition], found.reasons[partition] = kept, reason
    _refuse_compacted(found, in_table)
    return _filled(store, found, chains)


def _filled(store: ObjectStore, found: Plan, chains: Mapping[tuple[str, Partition], Progress]) -> Plan:
    """Returns the plan with the objects and moves that follow from its decision and from the present objects."""
    objects, moves = [], {}
    for (folder, partition), before in chains.items():
        if partition in found.kept:
            objects += [name for name, _ in _behind(store, found, folder, partition)]
            end = min(before.end, found.kept[partition])
            after = replace(before, end=end, topic_id=found.topic_id, taken=0)
            if after != before:  # the chain's next objects may be of any day
                moves[names.progress_name(folder, *partition)] = (before, replace(after, day=None))
    objects += [claim.info.name for claim in _half_kept(store, found) if claim.info.name not in objects]
    return replace(found, objects=objects, moves=moves)


def apply_plan(store: ObjectStore, found: Plan) -> None:
    """Applies a plan. If it crashes, make a new plan and apply that.

    :raises TopicChanged: another process moved a progress object meanwhile: stop the consumers and start over
    """
    kept = {str(partition.number): offset for partition, offset in found.kept.items()}
    decision = {"topic_id": found.topic_id, "time": found.time, "kept": kept}
    there = store.get(_decision_name(found.topic))
    generation = 0 if there is None else there.info.generation
    name = _decision_name(found.topic)
    if store.replace(name, json.dumps(decision).encode(), generation, content_type=JSON) is None:
        raise TopicChanged(found.topic, f"{name} was written meanwhile: another rebase of {found.topic} is running")
    # 2. set aside
    for claim in _half_kept(store, found):
        aside = f"{_ASIDE}{found.time}/unfinished/{claim.info.name}"
        store.create(aside, claim.data, content_type=GZIP, metadata=claim.info.metadata)
        store.delete(claim.info.name, claim.info.generation)
    for folder in _FOLDERS:
        for partition in found.kept:
            for name, link in _behind(store, found, folder, partition):
                _set_aside(store, found, folder, name, link)
    # 3. move the progress back
    for name, (_, after) in found.moves.items():
        moved = names.parse_progress_name(name)
        folder = name.split("/")[1]
        if moved is None or progress.save(store, folder, moved, after) is None:
            raise TopicChanged(found.topic, f"{name} was moved meanwhile: a consumer of {found.topic} is running")
    # 4. delete the decision
    decided = store.get(_decision_name(found.topic))
    if decided is not None:
        store.delete(decided.info.name, decided.info.generation)


def _decision(
    partition: Partition,
    known: Mapping[str, Progress],
    topic_id: str,
    end: int,
    agreement: Callable[[Partition, int], int],
) -> tuple[str, int]:
    """Returns why a partition has to be rebased (empty: it needn't be), and the offset up to which records are kept.

    :param known: by folder, the progress of the chain, whose `end` includes objects after the progress
    :param end: the end of the partition in the topic
    """
    positions = known.values()
    furthest = max(position.end for position in positions)
    others = {position.topic_id for position in positions} - {None, topic_id}
    if others:
        kept = agreement(partition, min(furthest, end))
        return f"the topic has another id than {', '.join(sorted(map(str, others)))}; same records up to {kept}", kept
    if furthest > end:
        # New records may have been written since the truncation, so the lake's rows are compared with the topic.
        # Without rows in the lake there is nothing to compare, and all offsets of the topic are kept.
        in_lake = known.get(names.FOLDER_OF.get(partition.topic, ""))
        kept = agreement(partition, end) if in_lake is not None and in_lake.end else end
        return f"it ends at {end}, and records up to {furthest} were read; same records up to {kept}", kept
    if any(position.taken for position in positions):
        return (
            f"{max(position.taken for position in positions)} offsets were deleted unread, which is acknowledged",
            furthest,
        )
    return "", furthest


def _chains(store: ObjectStore, folder: str) -> dict[Partition, Progress]:
    """Returns the progress of each chain of a folder; offset 0 for a chain that has objects but no progress object."""
    found = (names.parse_object_name(info.name) for info in store.list(f"{folder}/"))
    return {named.partition: Progress(0, 0) for named in found if named is not None} | progress.every(store, folder)


def _behind(store: ObjectStore, found: Plan, folder: str, partition: Partition) -> list[tuple[str, Link]]:
    """Returns the objects of a chain with offsets that aren't kept, by name, with their links from before the rebase.

    Objects that are set aside already are included.
    """
    kept, aside = found.kept[partition], f"{_ASIDE}{found.time}/"
    listed = [*store.list(f"{folder}/"), *store.list(f"{aside}{folder}/")]
    objects: dict[str, Link] = {}
    # objects that are set aside come last, so that their links replace those of objects that are cut already
    for info in listed:
        name = info.name.removeprefix(aside)
        named = names.parse_object_name(name)
        if named is not None and named.partition == partition:
            link = Link.of(replace(info, name=name))
            if link.end > kept:
                objects[name] = link
    return sorted(objects.items())


def _unfinished(store: ObjectStore, topic: str) -> list[tuple[StoredObject, list[Link]]]:
    """Returns the claims after the progress of their chain, each with the links of all parts of its plan.

    A reader that finds such a claim would create the missing claims of its plan.
    """
    ends, found = progress.ends(store, _CASES), []
    for info in store.list(f"{_CASES}/"):
        link = Link.of(info)
        if link.partition.topic == topic and link.end > ends.get(link.partition, 0):
            claim = store.get(info.name)
            if claim is not None:
                found.append((claim, [part.link for part in claims.Plan.of(info.name, claim.data).parts]))
    return found


def _half_kept(store: ObjectStore, found: Plan) -> list[StoredObject]:
    """Returns the unfinished claims of plans with a part that isn't kept completely.

    They are removed, because the topic has other frauds at the offsets of that part.
    """
    return [
        claim
        for claim, parts in _unfinished(store, found.topic)
        if any(part.end > found.kept.get(part.partition, part.end) for part in parts)
    ]


def _set_aside(store: ObjectStore, found: Plan, folder: str, name: str, link: Link) -> None:
    # each step is skipped if an earlier call has done it
    aside = f"{_ASIDE}{found.time}/{name}"
    there = store.get(name)
    whole = store.get(aside)
    if whole is None and there is not None:
        store.create(aside, there.data, content_type=GZIP, metadata=there.info.metadata)
        whole = there
    kept = found.kept[link.partition]
    if there is not None and Link.of(there.info).end > kept:
        store.delete(name, there.info.generation)
        there = None
    if there is None and whole is not None and link.first < kept:
        _create_cut(store, name, link, whole, kept, folder)


def _create_cut(store: ObjectStore, name: str, link: Link, whole: StoredObject, kept: int, folder: str) -> None:
    """Creates an object again, with only the records that are kept.

    A claim keeps all of its lines: they have no offsets, and all of its cases are opened already.
    """
    lines = unpacked(whole.info.name, whole.data).splitlines(keepends=True)
    totals = link.totals
    if folder != _CASES:
        lines = [line for line in lines if json.loads(line)["offset"] < kept]
        totals = totals_of_lines(lines, link.totals.columns)
    metadata = replace(link, end=kept, totals=totals).metadata()
    store.create(name, igzip.compress(b"".join(lines), 1), content_type=GZIP, metadata=metadata)


def _refuse_compacted(found: Plan, in_table: InTable) -> None:
    tables = [
        folder
        for folder in _FOLDERS
        if any(end > found.kept.get(partition, end) for partition, end in in_table(folder).items())
    ]
    if tables:
        raise LakeError(
            f"tables hold records of {found.topic} that the topic doesn't have any more: {', '.join(tables)}. "
            f"They can't be removed one by one: docs/restore.md says how to fill the folder again"
        )


def _decision_name(topic: str) -> str:
    return f"{_ASIDE}{topic}.json"


def _decided(store: ObjectStore, topic: str) -> Plan | None:
    there = store.get(_decision_name(topic))
    if there is None:
        return None
    content = json.loads(there.data)
    kept = {Partition(topic, int(number)): offset for number, offset in content["kept"].items()}
    return Plan(topic, content["topic_id"], content["time"], kept, dict.fromkeys(kept, "it was begun before"))
