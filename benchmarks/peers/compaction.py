"""Converts the day's files on local disk to one Parquet file with the table's columns, types and compression.

Nothing is verified. Arguments: library, folder, result. With the suffix "-sorted" after the library's name the rows are
sorted as in compaction.
"""

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from fraudstream.lake.compaction.duckdb_engine import ZSTD_LEVEL
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.lake.table.schemas import SORT_ORDER, rows_schema
from isal import igzip

from benchmarks.harness.outcome import timed

_ORDER = SORT_ORDER[TRANSACTIONS]
_SCHEMA = rows_schema(TRANSACTIONS)
_TIMES = [field.name for field in _SCHEMA if pa.types.is_timestamp(field.type)]
#: Number of decompressed files and of threads, as in compaction.
_UNPACKED, _THREADS = 16, 4
_DUCKDB_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "decimal128(18, 2)": "DECIMAL(18,2)",
    "timestamp[ms, tz=UTC]": "TIMESTAMPTZ",
}


def with_polars(pattern: str, result: str, order: bool) -> None:
    """Reads amounts as floats: this is exact for amounts of this size, and the fastest way."""
    money = [field.name for field in _SCHEMA if pa.types.is_decimal(field.type)]
    read = {field.name: pl.DataFrame(_SCHEMA.empty_table()).schema[field.name] for field in _SCHEMA}
    read |= dict.fromkeys(money, pl.Float64()) | dict.fromkeys(_TIMES, pl.String())
    rows = pl.scan_ndjson(pattern, schema=read).with_columns(
        pl.col(money).cast(pl.Decimal(18, 2)),
        pl.col(_TIMES).str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", time_zone="UTC"),
    )
    rows = rows.sort(_ORDER) if order else rows
    rows.sink_parquet(result, compression="zstd", compression_level=ZSTD_LEVEL)


def with_duckdb(pattern: str, result: str, order: bool) -> None:
    columns = ", ".join(f"'{field.name}': '{_DUCKDB_TYPES[str(field.type)]}'" for field in _SCHEMA)
    by = f"ORDER BY {', '.join(_quoted(name) for name in _ORDER)}" if order else ""
    duckdb.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    duckdb.execute(
        f"COPY (FROM read_json('{pattern}', format = 'newline_delimited', columns = {{{columns}}}) {by})"
        f" TO '{result}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL})"
    )


def with_isal_and_duckdb(pattern: str, result: str, order: bool) -> None:
    """Decompresses with ISA-L in threads into a few files first, as compaction does: DuckDB reads these faster."""
    packed = sorted(Path(pattern).parent.glob(Path(pattern).name))

    def unpack(number: int) -> None:
        with Path(directory, f"{number}.json").open("wb") as file:
            for path in packed[number::_UNPACKED]:
                file.write(igzip.decompress(path.read_bytes()))

    with tempfile.TemporaryDirectory(dir=Path(result).parent) as directory:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(unpack, range(_UNPACKED)))
        with_duckdb(f"{directory}/*.json", result, order)


def with_pandas(pattern: str, result: str, order: bool) -> None:
    """Uses the pyarrow engine and reads amounts as floats, as with polars. The rows are never sorted."""
    folder = Path(pattern).parent
    rows = pd.concat([pd.read_json(path, lines=True, engine="pyarrow") for path in sorted(folder.glob("*.json.gz"))])
    rows[_TIMES] = rows[_TIMES].apply(pd.to_datetime, utc=True)
    table = pa.Table.from_pandas(rows, preserve_index=False).select(_SCHEMA.names).cast(_SCHEMA)
    pq.write_table(table, result, compression="zstd", compression_level=ZSTD_LEVEL)


def _quoted(name: str) -> str:
    return f'"{name}"'


if __name__ == "__main__":
    asked, where, target = sys.argv[1:]
    library, _, with_order = asked.partition("-")
    convert = {
        "polars": with_polars,
        "duckdb": with_duckdb,
        "isal_duckdb": with_isal_and_duckdb,
        "pandas": with_pandas,
    }[library]
    with timed() as work:
        convert(f"{where}/*.json.gz", target, bool(with_order))
        work.items = pq.read_metadata(target).num_rows
