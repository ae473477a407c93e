"""The engine for days that outgrow a machine: include/spark/compact.py reads, sorts and writes, wherever it runs.

1. :func:`prepare` writes the job: the day's objects, their columns and order, as ``_spark/<run>/job.json``
2. Spark does it, and leaves Parquet files, and what it read of each object, beside the job
3. :func:`finished` is the engine for :func:`fraudstream.lake.compaction.compaction.compact`: it holds what was read
   against what the objects promise, reads each file back while it gets its name: the writer does not prove itself

Objects that came after 1 make another run id: then there is no result for it, and the job is prepared anew.
"""

import io
import json
import math
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import LakeError, LakeUnavailable, ProofFailed
from fraudstream.lake.compaction.compaction import TARGET_BYTES, run_id, settled_day
from fraudstream.lake.compaction.engine import Rows, Vanished, Work, in_manifest, upload
from fraudstream.lake.compaction.manifest import ParquetFile
from fraudstream.lake.compaction.parquet import ROW_GROUP_ROWS, file_schema, read_back
from fraudstream.lake.store.objects import JSON, ObjectInfo, ObjectStore
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.table.schemas import BLOOM_FILTERS, SORT_ORDER, json_schema

_CHUNK_BYTES = 32 << 20
#: Parquet bytes for each byte of gzipped JSON, as measured: decides how many files Spark makes.
_PARQUET_SHARE = 0.75


def job_folder(run: str) -> str:
    """What the names of all of a job's objects start with."""
    return f"_spark/{run}/"


def prepare(store: ObjectStore, folder: str, day: date, target_bytes: int = TARGET_BYTES) -> str | None:
    """Writes the job for what of a day isn't compacted yet and returns its name; None: everything is.

    :raises LakeError: an object has unusable metadata
    """
    sources = settled_day(store, folder, day).json
    if not sources:
        return None
    schema = json_schema(folder)
    document = {
        "folder": folder,
        "day": day.isoformat(),
        "sources": [info.name for info in sources],
        "schema": ", ".join(f"`{field.name}` {_spark_type(field.type)}" for field in schema),
        "columns": [_column(field, inner) for field in schema for inner in _inner(field)],
        "order": SORT_ORDER[folder],
        "files": max(1, math.ceil(sum(info.size for info in sources) * _PARQUET_SHARE / target_bytes)),
        "row_group_rows": ROW_GROUP_ROWS,
        "bloom_filters": BLOOM_FILTERS[folder],
    }
    name = f"{job_folder(run_id(sources, target_bytes))}job.json"
    # A job of the same name is the same job.
    store.create(name, json.dumps(document, indent=1).encode(), content_type=JSON, metadata={})
    return name


def finished(work: Work) -> tuple[Rows, list[ParquetFile]]:
    """:data:`~fraudstream.lake.compaction.engine.Engine` that takes over what a Spark job did.

    :raises LakeUnavailable: no job has been done for just these objects
    """
    listed = work.store.list(job_folder(work.run))
    parts = [info for info in listed if "/files/" in info.name and info.name.endswith(".parquet")]
    read, objects = _result(work, [info for info in listed if "/result/part-" in info.name])
    for info in work.sources:
        _require(info.name, work.links[info.name], objects.get(info.name))
    files = []
    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as directory:
        for number, info in enumerate(parts):
            path = Path(directory) / "file.parquet"
            _fetch(work.store, info, path)
            _stamp(path, work.folder)
            files.append(in_manifest(work, upload(work, number, path), read_back(path)))
    return read, files


def discard(store: ObjectStore, run: str) -> None:
    """Deletes what a job left."""
    for info in store.list(job_folder(run)):
        store.delete(info.name, info.generation)


def _result(work: Work, infos: list[ObjectInfo]) -> tuple[Rows, dict[str, dict[str, Any]]]:
    bodies = [work.store.download(info) for info in infos]
    text = b"".join(body for body in bodies if body)
    if not text:
        raise LakeUnavailable(
            f"{work.folder} of {work.day}: no Spark job has been done for its {len(work.sources)} objects (run"
            f" {work.run}): objects came after the job was prepared, or it failed; prepare and run it again"
        )
    try:
        document = json.loads(text)
        read = Rows(int(document["rows"]), int(document["checksum"], 16))
        return read, {found["name"]: found for found in document["objects"]}
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"the result of Spark job {job_folder(work.run)} is unreadable: {error!r}") from error


def _require(name: str, link: Link, found: dict[str, Any] | None) -> None:
    """What :func:`fraudstream.lake.compaction.continuity.require_rows` asks for, from what Spark counted."""
    expected = (link.rows, link.rows, link.first, [link.partition.topic], [link.partition.number])
    seen = found and (found["rows"], found["offsets"], found["first"], found["topics"], found["partitions"])
    if seen != expected or found is None or found["last"] >= link.end:
        raise ProofFailed(
            f"object {name} should hold {link.rows} rows of {link.partition} with offsets from {link.first} to below"
            f" {link.end}, Spark found {found}: nothing was changed; restore the object, or replay these offsets"
        )


def _fetch(store: ObjectStore, info: ObjectInfo, path: Path) -> None:
    with path.open("wb") as file:
        for start in range(0, info.size, _CHUNK_BYTES):
            chunk = store.download(info, start, min(start + _CHUNK_BYTES, info.size))
            if chunk is None:
                raise Vanished(info.name)
            file.write(chunk)


def _stamp(path: Path, folder: str) -> None:
    """Gives a file that Spark wrote the metadata of ours: Spark can't. A new footer points to the same pages."""
    footer = io.BytesIO()
    found = [pq.read_metadata(path)]
    pq.write_metadata(file_schema(folder), footer, metadata_collector=found, store_decimal_as_integer=True)
    with path.open("r+b") as file:
        file.seek(-8, io.SEEK_END)  # the footer's length and PAR1
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, io.SEEK_END)
        file.truncate()
        file.write(footer.getvalue()[len(b"PAR1") :])


def _inner(field: pa.Field) -> list[pa.Field | None]:
    return list(field.type) if pa.types.is_struct(field.type) else [None]


def _column(field: pa.Field, inner: pa.Field | None) -> list[str]:
    """Where a column comes from in the JSON, and its name, as in :func:`fraudstream.lake.table.schemas.rows_schema`."""
    return [field.name, field.name] if inner is None else [f"{field.name}.{inner.name}", f"{field.name}_{inner.name}"]


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"STRUCT<{', '.join(f'`{field.name}`: {_spark_type(field.type)}' for field in kind)}>"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP"
    return {"int32": "INT", "int64": "BIGINT", "string": "STRING"}[str(kind)]
