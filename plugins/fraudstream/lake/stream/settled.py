"""The objects of a folder that will not be written again: compaction may take them, the audit may rely on them."""

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from fraudstream.errors import ProofFailed
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.chain import Link


class Settled(NamedTuple):
    """An object, and the link of the chain that it is."""

    info: ObjectInfo
    link: Link


def settled_objects(
    store: ObjectStore, folder: str, since: Mapping[Partition, int], *, before: date | None = None
) -> dict[Partition, list[Settled]]:
    """Each topic-partition's objects from an offset up to its progress, in their order, with no gap and no overlap.

    1. read each progress
    2. list the folder's objects
    3. walk each chain from its offset up to its progress, or to the first object of an open day

    The progress comes first, so that the listing has all that it covers.

    :param since: the first offset that is wanted of each topic-partition; 0 for those that aren't in it
    :param before: the first day that isn't closed yet; None: all days are taken
    :raises ProofFailed: an object below a progress is missing, or overlaps. Where another run compacts and deletes
        at the same time, this says that it was faster: load the table again and start over if it moved
    """
    # 1. progress
    ends = progress.ends(store, folder)
    # 2. list
    found: dict[Partition, list[Settled]] = {partition: [] for partition in ends}
    for info in store.list(f"{folder}/"):
        named = names.parse_object_name(info.name)
        if named is not None and named.partition in ends and named.first_offset >= since.get(named.partition, 0):
            found[named.partition].append(Settled(info, Link.of(info)))
    # 3. walk
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
