"""Maintains a table after compactions: the steps of :mod:`fraudstream.lake.table.maintenance`, with step 1 verified."""

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
    """The result for a folder's table: the days whose small files were rewritten, and counts.

    `snapshots` and `orphans` are the numbers of expired snapshots and of deleted orphan files.
    """

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
    """Rewrites the small files of days before `before`, expires snapshots, and deletes orphan files.

    If another run publishes a snapshot meanwhile, the small files stay until the next call.

    :param keep: how long snapshots that aren't current, and files that the metadata doesn't refer to, are kept
    :raises ProofFailed: control totals of the new files and of the small files differ, or the bytes of a file in the
        store differ from those that were written; nothing has changed for readers
    :raises LakeUnavailable: the store or the catalog doesn't answer, or another process changed the table meanwhile
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
