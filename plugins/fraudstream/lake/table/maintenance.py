"""Maintenance of the tables: few files per day, few snapshots, no orphan files.

The steps, numbered as in the code:

1. rewrite the small files of closed days in one snapshot, which is verified and published like that of a compaction,
2. expire snapshots that are older than the retention time, and drop the branch that a killed run has left; ancestors of
   another program's snapshot are kept if its offsets are known only from them,
3. delete files in the table's location that the metadata doesn't refer to and that are older than the retention time.

A query reads one snapshot as long as it runs, so it must take less time than snapshots are kept.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pyarrow.fs as pafs
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.lake.table.catalog import BRANCH, translated
from fraudstream.lake.table.positions import lineage

log = logging.getLogger(__name__)

#: A file is small if it is below this share of the target size.
_SMALL = 0.75
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Swept:
    """The result of steps 2 and 3: numbers of expired snapshots and of deleted files."""

    snapshots: int
    orphans: int


def small_files(table: Table, snapshot: Snapshot, before: date, target_bytes: int) -> dict[date, list[DataFile]]:
    """Returns the small files of a snapshot by day, for the days before `before` that have more than one small file."""
    found: dict[date, list[DataFile]] = defaultdict(list)
    with translated("read a table of"):
        for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files():
            day = day_of_file(task.file)
            if day < before and task.file.file_size_in_bytes < _SMALL * target_bytes:
                found[day].append(task.file)
    return {day: files for day, files in sorted(found.items()) if len(files) > 1}


def day_of_file(file: DataFile) -> date:
    """Returns the day of a file's rows. Its partition value is the number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=file.partition[0])


def sweep(table: Table, keep: timedelta, now: datetime) -> Swept:
    """Does steps 2 and 3: expires snapshots and deletes orphan files.

    :param keep: the retention time
    :raises LakeUnavailable: the catalog or the store doesn't answer, or another process changed the table meanwhile
    """
    with translated("maintain a table of"):
        # 2. snapshots
        before = now - keep
        stale = table.snapshot_by_name(BRANCH)
        if stale is not None and _time(stale) < before:
            table.manage_snapshots().remove_branch(BRANCH).commit()
        heads = [table.snapshot_by_id(ref.snapshot_id) for ref in table.refs().values()]
        kept = {one.snapshot_id for head in heads for one in lineage(table, head)}
        old = [one.snapshot_id for one in table.snapshots() if _time(one) < before and one.snapshot_id not in kept]
        if old:
            table.maintenance.expire_snapshots().by_ids(old).commit()
        # 3. files
        orphans = _orphans(table, before)
        for address in orphans:
            table.io.delete(address)
    return Swept(len(old), len(orphans))


def _time(snapshot: Snapshot) -> datetime:
    return datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)


def _orphans(table: Table, before: datetime) -> list[str]:
    """Returns the addresses of the files in the table's location that its metadata doesn't refer to.

    Only files that were last modified before `before` are returned: a newer one may be of a run that is not done yet.
    If the table's file access can't list files, logs a warning and returns none.
    """
    if not isinstance(table.io, PyArrowFileIO):
        log.warning(
            "%s: orphan files stay, since only pyarrow's file access can list them: set"
            " PYICEBERG_CATALOG__FRAUDSTREAM__PY_IO_IMPL to pyiceberg.io.pyarrow.PyArrowFileIO",
            table.location(),
        )
        return []
    scheme, netloc, root = table.io.parse_location(table.location())
    listed = table.io.fs_by_scheme(scheme, netloc).get_file_info(
        pafs.FileSelector(root, recursive=True, allow_not_found=True)
    )
    named = {table.io.parse_location(address)[2] for address in _named(table)}
    prefix = table.location().removesuffix("/")
    return [
        prefix + info.path[len(root.removesuffix("/")) :]
        for info in listed
        if info.type == pafs.FileType.File
        and info.path not in named
        and info.mtime is not None
        and info.mtime.astimezone(UTC) < before
    ]


def _named(table: Table) -> set[str]:
    """Returns the addresses of all files that the table's metadata refers to, the metadata files included."""
    named = {table.metadata_location, *(entry.metadata_file for entry in table.metadata.metadata_log)}
    statistics = (*table.metadata.statistics, *table.metadata.partition_statistics)
    named |= {one.statistics_path for one in statistics}
    manifests = {}
    for snapshot in table.snapshots():
        named.add(snapshot.manifest_list)
        manifests.update({manifest.manifest_path: manifest for manifest in snapshot.manifests(table.io)})
    named |= manifests.keys()
    for manifest in manifests.values():
        named |= {entry.data_file.file_path for entry in manifest.fetch_manifest_entry(table.io)}
    return named
