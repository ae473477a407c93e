"""Write-audit-publish: all new files become visible at once, after they are verified, if no other process was faster.

1. create the branch at the snapshot that the work started from, and commit the files and the summary to it,
2. the caller reads the branch back (:func:`added_files`) and compares it with what it wrote,
3. move the main branch to the new snapshot, if main is still where the work started, and drop the branch.

The branch always has the same name. If two runs overlap, the later one moves the branch to its own snapshot. The
earlier one notices that in step 3 and starts over. A branch that a killed run has left is moved in the same way.
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
    """Step 1: commits a snapshot to the branch that adds Parquet files to `base`, and returns the snapshot.

    :param table: the handle that `base` was taken from; afterwards it has the table's present metadata
    :param files: addresses of the Parquet files
    :param properties: for the snapshot's summary
    :param instead_of: files of `base` that the Parquet files replace
    :raises Overtaken: another process changed the table or moved the branch meanwhile
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
        except ValueError as error:  # raised for a SQL catalog if `base` isn't the current snapshot any more
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
    """Step 2: returns the files that the staged snapshot adds according to its manifests."""
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

    The catalog checks that main is at `base` and the branch at the staged snapshot. Therefore `base` must be the
    snapshot that the caller started from. Main's position from a newly loaded table would always pass the check, even
    if the staged snapshot is not a descendant of it.

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
