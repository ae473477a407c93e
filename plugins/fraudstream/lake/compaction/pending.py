"""JSON objects that are still to be moved to a table, or to be deleted."""

from datetime import date, datetime

from fraudstream.lake.stream import names
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import Offsets, offsets_of


def covered(offsets: Offsets, name: str) -> bool:
    """Whether readers skip an object of this name, since a table with these offsets has its first record.

    The object was compacted, or it was written again after that by a zombie, a reader that had lost its partition.
    """
    named = names.parse_object_name(name)
    return named is not None and named.first_offset < offsets.get(named.partition, 0)


def pending_days(lake: Lake, folder: str, written_before: datetime | None) -> dict[date, int]:
    """Returns the total size in bytes of the JSON objects of each day that are to be moved to the table, oldest first.

    :param written_before: if given, objects that are in the table and were written at or before this time are included,
        since they are to be deleted
    """
    listed = lake.store.list(f"{folder}/")
    table = lake.tables.load(folder)
    offsets = offsets_of(table) if table else {}
    sizes: dict[date, int] = {}
    for info in listed:
        named = names.parse_object_name(info.name)
        if named is not None and (
            not covered(offsets, info.name) or (written_before is not None and info.updated <= written_before)
        ):
            sizes[named.day] = sizes.get(named.day, 0) + info.size
    return dict(sorted(sizes.items()))
