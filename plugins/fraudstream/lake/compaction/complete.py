"""Days of a table that are complete: a day is complete if it is closed and all of its JSON has been moved to the table.

Each complete day is announced once by an asset event, and again if late rows were moved. A property of the table has
the day up to which all days have been announced. Because of it, a day whose last rows were moved while the day was
still open is announced by the first run after it is closed.
"""

from collections.abc import Iterable
from datetime import date

from fraudstream.lake.compaction.pending import pending_days
from fraudstream.lake.query.view import list_days
from fraudstream.lake.table.catalog import translated
from fraudstream.lake.table.lake import Lake

_PROPERTY = "fraudstream.complete-before"


def complete_days(lake: Lake, folder: str, before: date, changed: Iterable[date]) -> list[date]:
    """Returns the complete days before `before` that aren't announced yet or are in `changed`, oldest first."""
    table = lake.tables.load(folder)
    if table is None:
        return []
    since = date.fromisoformat(table.properties.get(_PROPERTY, date.min.isoformat()))
    candidates = {day for day in list_days(lake, folder) if since <= day < before} | {d for d in changed if d < before}
    return sorted(candidates - pending_days(lake, folder, None).keys())


def mark_complete(lake: Lake, folder: str, before: date) -> None:
    """Stores in the table that all days before `before`, or before the first incomplete day, have been announced.

    :raises LakeUnavailable: the catalog doesn't answer
    """
    table = lake.tables.load(folder)
    if table is None:
        return
    reached = min([before, *pending_days(lake, folder, None)])
    if table.properties.get(_PROPERTY, "") < reached.isoformat():
        with translated("write a property of a table of"), table.transaction() as transaction:
            transaction.set_properties({_PROPERTY: reached.isoformat()})
