"""Write-audit-publish: new files become visible at once, verified, and only if no other process was faster.

1. a branch at the snapshot that the work started from, with the files and what the snapshot says of itself
2. the caller reads the branch back (:func:`added_files`) and compares
3. the main branch moves to the snapshot, if it still is where the work started; the branch is dropped

The branch always has the same name. Of two runs at work at once, the later one takes it over, and the earlier one
finds that at step 3 and starts over; what a killed run left is taken over in the same way.
"""

from collections.abc import Mapping, Sequence

from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile, ManifestEntryStatus
from pyiceberg.table import Table
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, RemoveSnapshotRefUpdate, SetSnapshotRefUpdate
from pyiceberg.table.update.snapshot import ManageSnapshots

from fraudstream.errors import LakeError, Overtaken
from fraudstream.lake.table.catalog import BRANCH, translated


def stage(
    table: Table,
    base: Snapshot,
    files: list[str],
    properties: Mapping[str, str],
    *,
    instead_of: Sequence[DataFile] = (),
) -> Snapshot:
    """Step 1: a snapshot on the branch that adds Parquet files to `base`, or puts them in place of some of its files.

    :param table: the handle that `base` was taken from; it is as the catalog has the table now afterwards
    :raises Overtaken: others changed the table meanwhile
    """
    with translated("write a branch of a table of"):
        try:
            with table.transaction() as transaction:
                ManageSnapshots(transaction).create_branch(base.snapshot_id, BRANCH).commit()
                update = transaction.update_snapshot(snapshot_properties=dict(properties), branch=BRANCH)
                with update.overwrite() if instead_of else update.merge_append() as change:
                    for address in files:
                        change.append_data_file(parquet_file_to_data_file(table.io, table.metadata, address))
                    for file in instead_of:
                        change.delete_data_file(file)
        except ValueError as error:  # how a SQL catalog refuses a snapshot that follows an old one
            table.refresh()
            current = table.current_snapshot()
            if current is None or current.snapshot_id != base.snapshot_id:
                raise Overtaken(str(error)) from error
            raise
        staged = table.snapshot_by_name(BRANCH)
    if staged is None or staged.parent_snapshot_id != base.snapshot_id:
        raise Overtaken(f"branch {BRANCH} of {'.'.join(table.name())} belongs to another run")
    return staged


def added_files(table: Table, staged: Snapshot) -> list[DataFile]:
    """Step 2: the files that the staged snapshot adds, as its manifests name them."""
    with translated("read a branch of a table of"):
        return [
            entry.data_file
            for manifest in staged.manifests(table.io)
            if manifest.added_snapshot_id == staged.snapshot_id
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
            if entry.status == ManifestEntryStatus.ADDED and entry.snapshot_id == staged.snapshot_id
        ]


def publish(table: Table, base: Snapshot, staged: Snapshot) -> None:
    """Step 3: moves main from `base` to the staged snapshot, and drops the branch.

    The catalog checks both places. A fresh handle would take main from wherever it is by now, even to a branch that
    is not a descendant of it; so `base` is the one that the caller started from.

    :raises Overtaken: main or the branch moved meanwhile
    :raises LakeError: the staged snapshot isn't a child of `base`
    """
    if staged.parent_snapshot_id != base.snapshot_id:
        raise LakeError(
            f"snapshot {staged.snapshot_id} of table {'.'.join(table.name())} has parent {staged.parent_snapshot_id},"
            f" expected {base.snapshot_id}: another program wrote to branch {BRANCH}; drop the branch and run again"
        )
    with translated("publish a snapshot of a table of"):
        table.catalog.commit_table(
            table,
            (
                AssertTableUUID(uuid=table.metadata.table_uuid),
                AssertRefSnapshotId(ref=MAIN_BRANCH, snapshot_id=base.snapshot_id),
                AssertRefSnapshotId(ref=BRANCH, snapshot_id=staged.snapshot_id),
            ),
            (
                SetSnapshotRefUpdate(
                    ref_name=MAIN_BRANCH, type=SnapshotRefType.BRANCH.value, snapshot_id=staged.snapshot_id
                ),
                RemoveSnapshotRefUpdate(ref_name=BRANCH),
            ),
        )
