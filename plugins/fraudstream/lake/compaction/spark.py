"""The engine for days that are too large for one machine: include/spark/compact.py compacts them on Spark.

1. :func:`prepare` does step 1 of the protocol and writes its result, with the SQL, to ``_spark/<run>/job.json``,
2. Spark writes the rows to the branch, sums them by SQL on its executors, and writes the totals to a folder beside the
   job,
3. :func:`finish` compares these totals with those of the objects, and publishes the branch. It doesn't read the rows.

If the snapshot that the job started from isn't the current one in step 3, the work of the job is discarded.
"""

import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from fraudstream.errors import LakeError, LakeUnavailable, Overtaken, SettingsError
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction import statements
from fraudstream.lake.compaction.protocol import CompactionReport, delete_json, prepare_work, require_proven
from fraudstream.lake.compaction.statements import by_partition
from fraudstream.lake.compaction.work import day_of, expected_totals
from fraudstream.lake.store.objects import JSON, ObjectStore
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table.catalog import BRANCH, CATALOG, configured
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.publishing import publish
from fraudstream.lake.table.schemas import json_schema

#: The configuration that Spark needs for the job's SQL, besides that of the catalog.
CONFIGURATION = {
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    f"spark.sql.catalog.{CATALOG}": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "true",
    "spark.sql.session.timeZone": "UTC",
}


def catalog_configuration() -> dict[str, str]:
    """Returns Spark's configuration of the catalog, derived from pyiceberg's.

    It has no secrets, because it is part of the request for the batch.

    :raises SettingsError: the catalog isn't of type rest, so that Spark's machines can't reach it
    """
    found = configured()
    if found.get("type") != "rest":
        raise SettingsError(
            f"Spark is asked for, but the catalog {CATALOG!r} is of type {found.get('type')!r}, which Spark's machines"
            " can't reach: set PYICEBERG_CATALOG__FRAUDSTREAM__TYPE=rest and its siblings, or use engine one_machine"
        )
    kept = {
        name: value
        for name, value in found.items()
        if name in {"type", "uri", "warehouse"}
        or (name.startswith("header.") and name.lower() != "header.authorization")
    }
    if found.get("auth.type") == "google":
        kept |= {
            "rest.auth.type": "org.apache.iceberg.gcp.auth.GoogleAuthManager",
            "io-impl": "org.apache.iceberg.gcp.gcs.GCSFileIO",
        }
    return {f"spark.sql.catalog.{CATALOG}.{name}": value for name, value in kept.items()}


def job_folder(run: str) -> str:
    """Returns the prefix of the names of a job's objects."""
    return f"_spark/{run}/"


def prepare(lake: Lake, folder: str, day: date) -> str | None:
    """Writes a job that compacts the objects up to and including a day, and returns its name; None: there are none.

    :raises ProofFailed: an object is missing or overlaps another one
    :raises LakeUnavailable: the store or the catalog doesn't answer, or another run changed the table meanwhile
    """
    work = prepare_work(lake, folder, lake.tables.load_or_create(folder), day, 0)
    if work is None:
        return None
    table = f"{CATALOG}.{lake.tables.name(folder)}"
    document = {
        "folder": folder,
        "day": day.isoformat(),
        "base": work.base.snapshot_id,
        "sources": [one.info.name for one in work.sources],
        "json_bytes": sum(one.info.size for one in work.sources),
        "schema": ", ".join(f"`{field.name}` {_spark_type(field.type)}" for field in json_schema(folder)),
        "branch": f"ALTER TABLE {table} CREATE OR REPLACE BRANCH {BRANCH} AS OF VERSION {work.base.snapshot_id}",
        "table": table,
        "target": f"{table}.branch_{BRANCH}",
        "rows": statements.sorted_rows_of_lines(folder),
        "properties": work.properties,
        "totals": statements.totals(folder, "added"),
        "expected": _listed(expected_totals(work.sources)),
        "days": sorted({day_of(one).isoformat() for one in work.sources}),
    }
    name = f"{job_folder(uuid.uuid4().hex)}job.json"
    lake.store.create(name, json.dumps(document, indent=1).encode(), content_type=JSON, metadata={})
    return name


def finish(lake: Lake, job: str, *, keep_json: timedelta = timedelta(0)) -> CompactionReport:
    """Verifies and publishes the snapshot of a Spark job, then deletes the JSON and the objects of the job.

    :param job: the name that :func:`prepare` returned
    :param keep_json: how long JSON is kept after it was written
    :raises ProofFailed: control totals differ; nothing has changed for readers
    :raises LakeUnavailable: the job isn't done, or another run was faster: prepare and run a new job
    """
    started = time.monotonic()
    asked, found = _document(lake.store, job), _result(lake.store, job)
    folder, day = asked["folder"], date.fromisoformat(asked["day"])
    table = lake.tables.load_or_create(folder)
    base, staged = table.snapshot_by_id(asked["base"]), table.snapshot_by_id(found["snapshot"])
    expected, read_back = by_partition(asked["expected"]), by_partition(found["totals"])
    try:
        if base is None or staged is None:
            raise Overtaken("the snapshots of the job are gone")
        require_proven(folder, expected, read_back, staged)
        current = table.current_snapshot()
        # if it is the current one, an earlier call published it and then crashed
        if current is None or current.snapshot_id != staged.snapshot_id:
            publish(table, base, staged)
    except Overtaken as error:
        raise LakeUnavailable(
            f"{folder}/: another run was faster than Spark job {job} ({error}); prepare and run a new one"
        ) from error
    deleted = delete_json(lake, folder, datetime.now(UTC) - keep_json)
    discard(lake.store, job)
    summary = staged.summary.additional_properties if staged.summary else {}
    return CompactionReport(
        folder,
        day,
        [date.fromisoformat(one) for one in asked["days"]],
        len(asked["sources"]),
        sum(one.rows for one in expected.values()),
        asked["json_bytes"],
        int(summary.get("added-data-files", 0)),
        int(summary.get("added-files-size", 0)),
        deleted,
        time.monotonic() - started,
    )


def discard(store: ObjectStore, job: str) -> None:
    """Deletes all objects of a job; ``job.json`` last, so that a call that was killed can be repeated."""
    for info in sorted(store.list(job.removesuffix("job.json")), key=lambda info: info.name == job):
        store.delete(info.name, info.generation)


def _document(store: ObjectStore, name: str) -> dict[str, Any]:
    found = store.get(name)
    if found is None:
        raise LakeUnavailable(f"Spark job {name} is gone: prepare and run a new one")
    document: dict[str, Any] = json.loads(found.data)
    return document


def _result(store: ObjectStore, job: str) -> dict[str, Any]:
    """Returns the result of a job: the id of its snapshot, and the control totals. Spark writes it in its last step."""
    folder = f"{job.removesuffix('job.json')}result/"
    parts = [store.download(info) for info in store.list(folder) if "/part-" in info.name]
    text = b"".join(part for part in parts if part)
    if not text:
        raise LakeUnavailable(f"Spark job {job} has no result: it failed or still runs; run it again")
    try:
        result: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise LakeError(f"the result of Spark job {job} is unreadable ({error}): run it again") from error
    return result


def _listed(totals: Mapping[Partition, Totals]) -> list[dict[str, Any]]:
    return [
        {"topic": partition.topic, "partition": partition.number, **one.to_dict()}
        for partition, one in sorted(totals.items())
    ]


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"STRUCT<{', '.join(f'`{field.name}`: {_spark_type(field.type)}' for field in kind)}>"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    return {"int32": "INT", "int64": "BIGINT", "string": "STRING", "bool": "BOOLEAN", "double": "DOUBLE"}[str(kind)]
