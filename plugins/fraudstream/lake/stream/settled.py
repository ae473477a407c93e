"""Finds the settled objects of a folder: they will not be written again, so compaction may delete them."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from fraudstream.errors import ProofFailed
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.chain import Link


class Settled(NamedTuple):
    """An object, and its link of the chain."""

    info: ObjectInfo
    link: Link


def settled_objects(
    store: ObjectStore, folder: str, since: Mapping[Partition, int], *, before: date | None = None
) -> dict[Partition, list[Settled]]:
    """The objects of each topic-partition from an offset up to its progress, in offset order, without gap or overlap.

    1. read each progress
    2. list the folder's objects
    3. follow each chain from its offset up to its progress, or to the first object of an open day

    The progress is read first, so that the listing has all objects before it.

    :param since: the first offset of each topic-partition to return; 0 for topic-partitions that aren't in it
    :param before: the first day that isn't closed yet; None: objects of all days are returned
    :raises ProofFailed: an object before a progress is missing or overlaps another one. If another compaction runs at
        the same time, it may have deleted the object: load the table again, and start over if it has changed
    """
    # 1. progress
    ends = progress.ends(store, folder)
    # 2. list
    found: dict[Partition, list[Settled]] = {partition: [] for partition in ends}
    for info in store.list(f"{folder}/"):
        named = names.parse_object_name(info.name)
        if named is not None and named.partition in ends and named.first_offset >= since.get(named.partition, 0):
            found[named.partition].append(Settled(info, Link.of(info)))
    # 3. follow
    return {
        partition: _contiguous(folder, partition, objects, since.get(partition, 0), ends[partition], before)
        for partition, objects in found.items()
    }


def _contiguous(
    folder: str, partition: Partition, objects: list[Settled], start: int, end: int, before: date | None
) -> list[Settled]:
    taken: list[Settled] = []
    reached = start
    for one in sorted(objects, key=lambda one: one.link.first):
        if one.link.end > end:
            break
        if one.link.start != reached:
            break
        named = names.parse_object_name(one.info.name)
        if before is not None and named is not None and named.day >= before:
            return taken
        taken.append(one)
        reached = one.link.end
    if reached < end:
        following = min((one.info.name for one in objects if one.link.first >= reached), default="no object")
        raise ProofFailed(
            f"{folder}/: no object of {partition} starts at offset {reached}, though the progress says that the chain"
            f" goes on to {end}; found {following} there; nothing was changed. Restore the missing object, or replay"
            " these offsets"
        )
    return taken
