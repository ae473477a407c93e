"""What keeps tables fast and small: few files a day, few snapshots, no orphan files.

1. rewrite the small files of closed days, all in one snapshot, proven and published as a compaction is
2. expire snapshots that are older than they are kept, and drop a branch that a killed run left; those that say which
   offsets another program's snapshot has stay
3. delete files in the table's location that no snapshot names and that are older than that

A reader holds a snapshot for as long as its query takes: that has to be less than snapshots are kept.
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

#: A file is small below this share of the size that files are written with.
_SMALL = 0.75
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Swept:
    """What steps 2 and 3 removed."""

    snapshots: int
    orphans: int


def small_files(table: Table, snapshot: Snapshot, before: date, target_bytes: int) -> dict[date, list[DataFile]]:
    """The small files of each day before `before` that has more than one of them."""
    found: dict[date, list[DataFile]] = defaultdict(list)
    with translated("read a table of"):
        for task in table.scan(snapshot_id=snapshot.snapshot_id).plan_files():
            day = day_of_file(task.file)
            if day < before and task.file.file_size_in_bytes < _SMALL * target_bytes:
                found[day].append(task.file)
    return {day: files for day, files in sorted(found.items()) if len(files) > 1}


def day_of_file(file: DataFile) -> date:
    """The day whose rows a file holds: Iceberg counts them from 1970 on."""
    return _EPOCH + timedelta(days=file.partition[0])


def sweep(table: Table, keep: timedelta, now: datetime) -> Swept:
    """Steps 2 and 3."""
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
    """Files in the table's location that nothing names."""
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
    """Addresses of all files that the table's metadata names."""
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
