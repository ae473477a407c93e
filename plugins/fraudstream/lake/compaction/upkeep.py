"""Upkeep of a table after its compactions: :mod:`fraudstream.lake.table.maintenance`, with its step 1 proven."""

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fraudstream.errors import Overtaken, ProofFailed
from fraudstream.lake.compaction import duckdb_engine
from fraudstream.lake.compaction.protocol import TARGET_BYTES
from fraudstream.lake.compaction.work import Work
from fraudstream.lake.table import maintenance
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import offsets_of, summary
from fraudstream.lake.table.publishing import publish

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What was done to a folder's table."""

    folder: str
    days: list[date]
    files_before: int
    files_after: int
    snapshots: int
    orphans: int


def maintain(
    lake: Lake,
    folder: str,
    before: date,
    *,
    keep: timedelta,
    target_bytes: int = TARGET_BYTES,
    now: datetime | None = None,
) -> UpkeepReport:
    """Rewrites the small files of days before `before`, expires snapshots, removes orphans.

    A compaction that is faster goes first: then small files stay until the next time.

    :param keep: how long snapshots that aren't current stay, and files that no snapshot names
    :raises ProofFailed: the rewritten files don't hold what the small ones do; nothing has changed for readers
    :raises LakeUnavailable: store or catalog don't answer
    """
    # load_or_create() also adds the columns that the definition has and an older table doesn't.
    table = lake.tables.load_or_create(folder) if lake.tables.load(folder) else None
    base = table.current_snapshot() if table else None
    if table is None or base is None:
        return UpkeepReport(folder, [], 0, 0, 0, 0)
    small = maintenance.small_files(table, base, before, target_bytes)
    old = [file for files in small.values() for file in files]
    made = 0
    if small:
        work = Work(lake.store, folder, table, base, [], summary(offsets_of(table, base)), target_bytes)
        try:
            expected = duckdb_engine.totals_of(table, folder, [file.file_path for file in old])
            staged = duckdb_engine.rewrite(work, small)
            if staged.totals != expected:
                raise ProofFailed(
                    f"{folder}/: {len(old)} small files hold {expected}, the {staged.files} that are to replace them"
                    f" {staged.totals}; nothing was changed for readers; the branch shows the new ones"
                )
            publish(table, base, staged.snapshot)
            made = staged.files
        except Overtaken as error:
            log.info("%s/: small files stay until the next time, since another run was faster: %s", folder, error)
            small, old = {}, []
        table = lake.tables.load_or_create(folder)
    swept = maintenance.sweep(table, keep, now or datetime.now(UTC))
    return UpkeepReport(folder, list(small), len(old), made, swept.snapshots, swept.orphans)
