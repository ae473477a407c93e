"""The same files from local disk to one Parquet file, no order, no proof. Arguments: library, folder, result."""

import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.parquet as pq

from benchmarks.outcome import timed


def with_polars(pattern: str, result: str) -> None:
    pl.scan_ndjson(pattern).sink_parquet(result, compression="zstd")


def with_duckdb(pattern: str, result: str) -> None:
    read = duckdb.read_json(pattern, format="newline_delimited")
    read.write_parquet(result, compression="zstd")


def with_pandas(pattern: str, result: str) -> None:
    folder = Path(pattern).parent
    frames = [pd.read_json(path, lines=True) for path in sorted(folder.glob("*.json.gz"))]
    pd.concat(frames).to_parquet(result, compression="zstd")


if __name__ == "__main__":
    library, folder, target = sys.argv[1:]
    convert = {"polars": with_polars, "duckdb": with_duckdb, "pandas": with_pandas}[library]
    with timed() as work:
        convert(f"{folder}/*.json.gz", target)
        work.items = pq.read_metadata(target).num_rows
