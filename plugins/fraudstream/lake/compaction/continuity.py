"""Whether objects hold the rows they say, and follow each other with no gap and no overlap."""

from collections import defaultdict
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.errors import ProofFailed
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction.manifest import Manifest, OffsetRange, load
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import names
from fraudstream.lake.stream.chain import Link


def joined_ranges(
    store: ObjectStore, folder: str, day: date, manifest: Manifest, links: list[Link]
) -> tuple[OffsetRange, ...]:
    """The offsets that new objects of a day cover, neighbours joined.

    :raises ProofFailed: objects overlap, or offsets between two of them are on neither this day nor its neighbours
    """
    new = [OffsetRange(link.partition, link.start, link.end) for link in links]
    whole = _by_partition([*new, *manifest.ranges])
    for partition, ranges in whole.items():
        for before, after in pairwise(ranges):
            if after.start < before.end:
                raise ProofFailed(
                    f"{folder} of {day}: two objects of {partition} cover offsets {after.start} to"
                    f" {min(before.end, after.end) - 1}; nothing was changed; keep the one that starts at"
                    f" {before.start}, move the other away and run again"
                )
            if after.start > before.end:
                _require_elsewhere(store, folder, day, OffsetRange(partition, before.end, after.start))
    return tuple(range_ for ranges in _by_partition(new).values() for range_ in _joined(ranges))


def require_rows(name: str, link: Link, rows: pa.Table) -> None:
    """An object has the rows, of the partition and in the offset range, that its metadata promise.

    :raises ProofFailed: it hasn't
    """
    offsets = rows["offset"].to_numpy()
    own = pc.unique(rows["topic"]).to_pylist() == [link.partition.topic] and bool(
        np.all(rows["partition"].to_numpy() == link.partition.number)
    )
    rising = bool(np.all(offsets[1:] > offsets[:-1]))
    if len(rows) != link.rows or not own or not rising or offsets[0] != link.first or offsets[-1] >= link.end:
        found = f"{len(rows)} rows with offsets {offsets[0]} to {offsets[-1]}" if len(rows) else "no rows"
        raise ProofFailed(
            f"object {name} should hold {link.rows} rows of {link.partition} with rising offsets from {link.first} to"
            f" below {link.end}, found {found}: nothing was changed; restore the object, or replay these offsets"
        )


def _by_partition(ranges: list[OffsetRange]) -> dict[Partition, list[OffsetRange]]:
    result: dict[Partition, list[OffsetRange]] = defaultdict(list)
    for range_ in sorted(ranges, key=lambda r: (r.partition, r.start)):
        result[range_.partition].append(range_)
    return result


def _joined(ranges: list[OffsetRange]) -> list[OffsetRange]:
    result = ranges[:1]
    for range_ in ranges[1:]:
        last = result[-1]
        if range_.start == last.end:
            result[-1] = OffsetRange(last.partition, last.start, range_.end)
        else:
            result.append(range_)
    return result


def _require_elsewhere(store: ObjectStore, folder: str, day: date, gap: OffsetRange) -> None:
    """Record timestamps may go back and forth over midnight: then a gap's records lie on a neighbouring day."""
    found: list[OffsetRange] = []
    for other in (day - timedelta(days=1), day + timedelta(days=1)):
        infos = store.list(f"{names.day_prefix(folder, other)}{gap.partition.topic}-{gap.partition.number}-")
        links = [Link.of(info) for info in infos if names.parse_object_name(info.name)]
        found += [OffsetRange(link.partition, link.start, link.end) for link in links]
        found += load(store, folder, other).ranges
    reached = gap.start
    for range_ in sorted((r for r in found if r.partition == gap.partition), key=lambda r: r.start):
        if range_.start <= reached:
            reached = max(reached, range_.end)
    if reached < gap.end:
        raise ProofFailed(
            f"{folder} of {day}: nothing covers {OffsetRange(gap.partition, reached, gap.end)}, though objects before"
            " and after them are there; nothing was changed; restore the missing object, or replay these offsets"
        )
