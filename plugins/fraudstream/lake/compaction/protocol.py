"""The protocol of a compaction, which moves the rows of JSON objects to an Iceberg table.

Readers see each row exactly once at any time. A compaction commits rows and offsets in one atomic step. If a run is
killed after any step, readers see the same rows as before, and the next run ends in the same state. The same is true if
two runs overlap.

The steps, numbered as in the code:

1. load the table, with its current snapshot and the snapshot's offsets, and list the objects from these offsets on,
2. write their rows to sorted Parquet files, read the files back from the store, and sum their rows,
3. add the files to a branch, with offsets and control totals in the snapshot's summary; check that the branch adds
   exactly these files, and that their control totals and those of the summary are equal to those of the objects,
4. move the main branch to the new snapshot, if main is still where it was in step 1; otherwise start over,
5. delete the JSON objects that are in the table and have been kept for long enough.
"""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.errors import LakeError, LakeUnavailable, Overtaken, ProofFailed
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction import duckdb_engine
from fraudstream.lake.compaction.pending import covered
from fraudstream.lake.compaction.work import Engine, Staged, Vanished, Work, day_of, expected_totals
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream.settled import Settled, settled_objects
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import offsets_of, summary, totals_added
from fraudstream.lake.table.publishing import publish

log = logging.getLogger(__name__)

TARGET_BYTES = 256 << 20
_TRIES = 10
_DELETERS = 8


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """The result of a run for one folder: the days with compacted rows, counts, and sizes in bytes."""

    folder: str
    day: date
    days: list[date]
    json_objects: int
    json_rows: int
    json_bytes: int
    files: int
    file_bytes: int
    deleted_objects: int
    seconds: float


def compact(
    lake: Lake,
    folder: str,
    day: date,
    *,
    keep_json: timedelta = timedelta(0),
    target_bytes: int = TARGET_BYTES,
    engine: Engine = duckdb_engine.stage,
    now: datetime | None = None,
) -> CompactionReport:
    """Moves the settled records of all days up to and including `day` to the folder's table.

    :param keep_json: how long JSON is kept after it was written; readers skip it once it is in the table
    :param target_bytes: approximate size of a Parquet file
    :param engine: does steps 2 and 3 up to the comparison
    :param now: the time from which `keep_json` counts back; None: the present
    :raises ProofFailed: offsets or control totals differ; nothing has changed for readers
    :raises LakeError: an object has lines that don't fit the folder, or an earlier version compacted the folder
    :raises LakeUnavailable: the store or the catalog doesn't answer, or other runs were faster at each of the tries
    """
    started = time.monotonic()
    require_no_manifest(lake.store, folder)
    for _ in range(_TRIES):
        try:
            # 1. to 4.
            sources, staged = _moved(lake, folder, day, target_bytes, engine)
        except (Overtaken, Vanished) as error:
            log.info("%s/: another run was faster (%s), starting over", folder, error)
            continue
        # 5. delete
        deleted = delete_json(lake, folder, (now or datetime.now(UTC)) - keep_json)
        return CompactionReport(
            folder,
            day,
            sorted({day_of(one) for one in sources}),
            len(sources),
            sum(one.link.rows for one in sources),
            sum(one.info.size for one in sources),
            staged.files if staged else 0,
            staged.bytes if staged else 0,
            deleted,
            time.monotonic() - started,
        )
    raise LakeUnavailable(f"{folder}/: other runs of compaction were faster {_TRIES} times; run fewer at once")


def _moved(
    lake: Lake, folder: str, day: date, target_bytes: int, engine: Engine
) -> tuple[list[Settled], Staged | None]:
    # 1. the table, then the objects
    table = lake.tables.load_or_create(folder)
    work = prepare_work(lake, folder, table, day, target_bytes)
    if work is None:
        return [], None
    # 2. and 3. write, read back, add to the branch
    staged = engine(work)
    # 3. compare
    require_proven(folder, expected_totals(work.sources), staged.totals, staged.snapshot)
    # 4. publish
    publish(work.table, work.base, staged.snapshot)
    return work.sources, staged


def prepare_work(lake: Lake, folder: str, table: Table, day: date, target_bytes: int) -> Work | None:
    """Step 1: returns the objects of a folder to compact, up to and including a day; None: there are none.

    :raises Overtaken: another run changed the table while the objects were listed
    :raises ProofFailed: an object is missing or overlaps another one
    """
    base = table.current_snapshot()
    if base is None:
        raise LakeError(f"table {'.'.join(table.name())} has no snapshot: drop it and run again")
    since = offsets_of(table, base)
    try:
        chains = settled_objects(lake.store, folder, since, before=day + timedelta(days=1))
    except ProofFailed:
        now = lake.tables.load(folder)
        if now is None or now.current_snapshot() != base:
            raise Overtaken(f"table of {folder}/ moved while its objects were listed") from None
        raise
    ends = {partition: chain[-1].link.end for partition, chain in chains.items() if chain}
    sources = [one for chain in chains.values() for one in chain]
    if not sources:
        return None
    properties = summary({**since, **ends}, expected_totals(sources))
    return Work(lake.store, folder, table, base, sources, properties, target_bytes)


def require_proven(
    folder: str, expected: Mapping[Partition, Totals], read_back: Mapping[Partition, Totals], staged: Snapshot
) -> None:
    """Step 3: compares control totals by partition.

    Those of the rows that were read back, and those in the summary of the branch's snapshot, must be equal to those of
    the objects.

    :param expected: control totals of the objects
    :param read_back: control totals of the rows that were read back
    :raises ProofFailed: control totals differ
    """
    for what, found in (
        ("the rows that were read back from the branch", read_back),
        ("the summary of the branch's snapshot", totals_added(staged)),
    ):
        for partition in sorted(expected.keys() | found.keys()):
            different = expected.get(partition, Totals()).differences(found.get(partition, Totals()))
            if different:
                raise ProofFailed(
                    f"{folder}/: the objects of {partition} and {what} have different control totals (objects, branch):"
                    f" {different}; nothing was changed for readers; restore the objects, or replay these offsets"
                )


def delete_json(lake: Lake, folder: str, written_before: datetime) -> int:
    """Step 5: deletes the objects that are in the table and were written at or before a time.

    Returns the number of objects that it deleted.
    """
    table = lake.tables.load(folder)
    if table is None:
        return 0
    offsets = offsets_of(table)
    doomed = [
        info for info in lake.store.list(f"{folder}/") if covered(offsets, info.name) and info.updated <= written_before
    ]

    def delete(info: ObjectInfo) -> bool:
        return lake.store.delete(info.name, info.generation)

    with ThreadPoolExecutor(_DELETERS) as pool:
        return sum(pool.map(delete, doomed))


def require_no_manifest(store: ObjectStore, folder: str) -> None:
    """Checks that no earlier version has compacted a folder to Parquet files, whose rows would be in no table.

    :raises LakeError: an earlier version has compacted the folder
    """
    if store.list(f"_manifest/{folder}/"):
        raise LakeError(
            f"gs://{store.bucket}/_manifest/{folder}/ is there: an earlier version compacted {folder}/ to Parquet files"
            " that aren't in an Iceberg table. Replay the topics into a new bucket (docs/lake.md, Upgrades)"
        )
