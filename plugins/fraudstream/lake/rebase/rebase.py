"""Rolls the lake back to a topic that was recreated, restored or truncated; what it holds beyond is set aside.

Kafka is the source of truth, the lake is a projection of it. Offsets up to which lake and topic hold the same records
stay; what lies behind them is moved out of the folders, so that the consumers write the topic's records under names
that nothing has. Otherwise they would adopt the old objects of these names, and skip the new records.

The protocol, numbered as in the code; nothing may read the topic meanwhile:

1. decide for each partition which offsets are kept, and write that down: after a crash the same is done again,
2. copy what lies behind to _rebased/<time>/ and remove it; an object that is in both is cut,
3. move the progress objects back, with the topic's new id: from here on consumers continue,
4. forget the decision.
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
#: Those that have chains.
_FOLDERS = (*names.FOLDERS, _CASES)

InTable = Callable[[str], Mapping[Partition, int]]


@dataclass(frozen=True)
class Plan:
    """The plan for one topic."""

    topic: str
    topic_id: str
    #: Names what is set aside.
    time: str
    #: The offset from which the records of each partition are written again.
    kept: dict[Partition, int]
    #: Why, by partition.
    reasons: dict[Partition, str] = field(default_factory=dict)
    #: Objects that are set aside or cut, and progress objects before and after, by name.
    objects: list[str] = field(default_factory=list)
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
    """What a rebase would do; changes nothing.

    :param agreement: the first offset below the given one at which lake and topic differ, or the given one
    :param in_table: for a folder, the first offset of each topic-partition that its table doesn't have yet
    :raises LakeError: tables hold records that would have to go
    """
    # 1. decide, unless it was decided
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
            # A writer that died has left objects behind its progress: they count as read, too.
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
    """The plan with what its decision means for the objects as they are now."""
    objects, moves = [], {}
    for (folder, partition), before in chains.items():
        if partition in found.kept:
            objects += [name for name, _ in _behind(store, found, folder, partition)]
            end = min(before.end, found.kept[partition])
            after = replace(before, end=end, topic_id=found.topic_id, taken=0)
            if after != before:  # the objects from there on lie on any day
                moves[names.progress_name(folder, *partition)] = (before, replace(after, day=None))
    objects += [claim.info.name for claim in _half_kept(store, found) if claim.info.name not in objects]
    return replace(found, objects=objects, moves=moves)


def apply_plan(store: ObjectStore, found: Plan) -> None:
    """Applies a plan. After a crash, make a new plan and apply it.

    :raises TopicChanged: another process moved a progress meanwhile: stop the consumers and start over
    """
    decision = {
        "topic_id": found.topic_id,
        "time": found.time,
        "kept": {str(partition.number): offset for partition, offset in found.kept.items()},
    }
    there = store.get(_decision_name(found.topic))
    generation = 0 if there is None else there.info.generation
    store.replace(_decision_name(found.topic), json.dumps(decision).encode(), generation, content_type=JSON)
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
    # 4. forget
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
    """Why a partition has to be rebased, empty where it needn't; and the offsets that are kept.

    :param known: the progress of each folder's chain, with the end that its objects reach
    """
    positions = known.values()
    furthest = max(position.end for position in positions)
    others = {position.topic_id for position in positions} - {None, topic_id}
    if others:
        kept = agreement(partition, min(furthest, end))
        return f"the topic has another id than {', '.join(sorted(map(str, others)))}; same records up to {kept}", kept
    if furthest > end:
        # Records may have come since it was truncated. Without rows in the lake nothing says so, nor that they haven't.
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
    """The progress of each chain; of one whose first writer died before it had one, the beginning."""
    found = (names.parse_object_name(info.name) for info in store.list(f"{folder}/"))
    return {named.partition: Progress(0, 0) for named in found if named is not None} | progress.every(store, folder)


def _behind(store: ObjectStore, found: Plan, folder: str, partition: Partition) -> list[tuple[str, Link]]:
    """Objects of a chain that hold offsets which aren't kept, set aside already or not, as they were before."""
    kept, aside = found.kept[partition], f"{_ASIDE}{found.time}/"
    listed = [*store.list(f"{folder}/"), *store.list(f"{aside}{folder}/")]
    objects: dict[str, Link] = {}
    for info in listed:  # what is set aside comes last and wins: it is the whole object
        name = info.name.removeprefix(aside)
        named = names.parse_object_name(name)
        if named is not None and named.partition == partition:
            link = Link.of(replace(info, name=name))
            if link.end > kept:
                objects[name] = link
    return sorted(objects.items())


def _unfinished(store: ObjectStore, topic: str) -> list[tuple[StoredObject, list[Link]]]:
    """Claims behind their progress, each with the parts of its run: the reader that finds one claims the rest."""
    ends, found = progress.ends(store, _CASES), []
    for info in store.list(f"{_CASES}/"):
        link = Link.of(info)
        if link.partition.topic == topic and link.end > ends.get(link.partition, 0):
            claim = store.get(info.name)
            if claim is not None:
                found.append((claim, [part.link for part in claims.Plan.of(info.name, claim.data).parts]))
    return found


def _half_kept(store: ObjectStore, found: Plan) -> list[StoredObject]:
    """Unfinished claims of a run with a part that isn't kept: they are removed, as the topic has other frauds there."""
    return [
        claim
        for claim, parts in _unfinished(store, found.topic)
        if any(part.end > found.kept.get(part.partition, part.end) for part in parts)
    ]


def _set_aside(store: ObjectStore, found: Plan, folder: str, name: str, link: Link) -> None:
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
    """Creates the object with the records that are kept. Lines of cases have no offset, and all of them are opened."""
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
