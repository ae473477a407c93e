"""JSON that waits to be moved to a table, or to be deleted."""

from datetime import date, datetime

from fraudstream.lake.stream import names
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import Offsets, offsets_of


def covered(offsets: Offsets, name: str) -> bool:
    """Whether an object of this name is in a table with these offsets, or was written again by a zombie."""
    named = names.parse_object_name(name)
    return named is not None and named.first_offset < offsets.get(named.partition, 0)


def pending_days(lake: Lake, folder: str, written_before: datetime | None) -> dict[date, int]:
    """Bytes of JSON of each day with objects to be moved to the table, oldest first.

    :param written_before: objects that are in the table and aren't younger count too: they are to be deleted
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
