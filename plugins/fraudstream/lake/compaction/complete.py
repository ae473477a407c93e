"""Days of a table that are complete: closed, with all JSON moved; announced once, and again when late rows came.

The table's own property remembers up to which day all have been announced, so that a day whose last rows were moved
while it was still open is announced once it is closed.
"""

from collections.abc import Iterable
from datetime import date

from fraudstream.lake.compaction.pending import pending_days
from fraudstream.lake.query.view import list_days
from fraudstream.lake.table.catalog import translated
from fraudstream.lake.table.lake import Lake

_PROPERTY = "fraudstream.complete-before"


def complete_days(lake: Lake, folder: str, before: date, changed: Iterable[date]) -> list[date]:
    """The days before `before` that are complete and not announced yet, or that changed, oldest first."""
    table = lake.tables.load(folder)
    if table is None:
        return []
    since = date.fromisoformat(table.properties.get(_PROPERTY, date.min.isoformat()))
    candidates = {day for day in list_days(lake, folder) if since <= day < before} | {d for d in changed if d < before}
    return sorted(candidates - pending_days(lake, folder, None).keys())


def mark_complete(lake: Lake, folder: str, before: date) -> None:
    """Remembers that all days before `before`, or before the first that isn't complete, have been announced.

    :raises LakeUnavailable: the catalog doesn't answer
    """
    table = lake.tables.load(folder)
    if table is None:
        return
    reached = min([before, *pending_days(lake, folder, None)])
    if table.properties.get(_PROPERTY, "") < reached.isoformat():
        with translated("write a property of a table of"), table.transaction() as transaction:
            transaction.set_properties({_PROPERTY: reached.isoformat()})
