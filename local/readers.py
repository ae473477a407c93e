"""Counts the rows of the lake's tables with other projects' readers, and compares the counts with those of the demo.

Run it after ``make demo``: ``.venv/bin/python -m local run -- python -m local.readers``. The exit code is 1 if a count
differs from ``var/demo/summary.json``, and 2 if that file or the catalog's variable is missing. docs/lake.md has the
same calls for use elsewhere.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow.fs as pafs
from pyiceberg.catalog import load_catalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from rich.console import Console
from rich.table import Table as Printed
from sqlalchemy.engine import make_url

from local.programs import spark
from local.stack.environment import LAKE_BUCKET, VAR

_NAMESPACE = LAKE_BUCKET.replace("-", "_")
_FOLDERS = ("transaction", "fraud_confirmation", "email_confirmation")
_SUMMARY = VAR / "demo" / "summary.json"
#: Returns a row for each folder and status: folder, status, count. The status of transaction is NULL.
_SQL = "SELECT '{folder}' AS folder, {status} AS status, count(*) AS number FROM {table} GROUP BY 2"

#: A script for Spark's own environment. Its argument is a JSON list of queries; its last line has their rows as JSON.
_SESSION = """
import json, sys
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
print(json.dumps([list(row) for sql in json.loads(sys.argv[1]) for row in spark.sql(sql).collect()]))
"""

Counts = dict[str, int]


def main() -> int:
    """Prints the counts of each reader; returns the exit code."""
    uri = os.environ.get("FRAUDSTREAM_LAKE_CATALOG_URI")
    if uri is None or not _SUMMARY.exists():
        missing = "FRAUDSTREAM_LAKE_CATALOG_URI isn't set" if uri is None else f"{_SUMMARY} isn't there"
        Console(stderr=True).print(
            f"{missing}: run make demo, then .venv/bin/python -m local run -- python -m local.readers", style="red"
        )
        return 2
    expected = of_demo(json.loads(_SUMMARY.read_text())["lake"])
    catalog = load_catalog("fraudstream", uri=uri)
    tables = {folder: catalog.load_table((_NAMESPACE, folder)) for folder in _FOLDERS}
    found = {
        "pyiceberg": with_pyiceberg(tables),
        "polars": with_polars(tables),
        "DuckDB": with_duckdb(tables),
        "Spark SQL": with_spark(tables),
    }
    page = Printed("", *expected, box=None, pad_edge=False)
    for reader, counts in {"the demo": expected, **found}.items():
        page.add_row(reader, *(f"{counts[name]:,}" for name in expected))
    Console().print(page)
    different = [reader for reader, counts in found.items() if counts != expected]
    print(
        f"different from the demo: {', '.join(different)}" if different else "each reader counts what the demo counted"
    )
    return 1 if different else 0


def of_demo(lake: dict[str, Any]) -> Counts:
    """Returns the demo's counts, from `lake` in its summary."""
    cases = lake["fraud_confirmation"]
    return {
        "transactions": lake["transaction"],
        "pending": cases["pending"],
        "outcomes": cases["outcome"],
        "mails sent": lake["email_confirmation"],
    }


def _counts(rows: Iterable[tuple[str, str | None, int]]) -> Counts:
    """Sums rows of folder, status and count."""
    number = {(folder, status): count for folder, status, count in rows}
    cases = {status: count for (folder, status), count in number.items() if folder == "fraud_confirmation"}
    return {
        "transactions": number["transaction", None],
        "pending": cases["PENDING"],
        "outcomes": sum(cases.values()) - cases["PENDING"],
        "mails sent": number["email_confirmation", "sent"],
    }


def _queries(table: Callable[[str], str]) -> list[str]:
    return [
        _SQL.format(
            folder=folder,
            status="CAST(NULL AS VARCHAR(9))" if folder == "transaction" else "status",
            table=table(folder),
        )
        for folder in _FOLDERS
    ]


def with_pyiceberg(tables: dict[str, Table]) -> Counts:
    """Counts with pyiceberg's scans."""
    rows: list[tuple[str, str | None, int]] = [("transaction", None, tables["transaction"].scan().count())]
    for folder in _FOLDERS[1:]:
        statuses = tables[folder].scan(selected_fields=("status",)).to_arrow()
        counted = statuses.group_by("status").aggregate([([], "count_all")])
        rows += [(folder, row["status"], row["count_all"]) for row in counted.to_pylist()]
    return _counts(rows)


def with_polars(tables: dict[str, Table]) -> Counts:
    """Counts with polars' SQL. pyiceberg reads the files: polars has no address of the local stack's object store."""
    scans = {name: pl.scan_iceberg(table, reader_override="pyiceberg") for name, table in tables.items()}
    with pl.SQLContext(scans) as context:
        return _counts(row for query in _queries(str) for row in context.execute(query, eager=True).rows())


def with_duckdb(tables: dict[str, Table]) -> Counts:
    """Counts with DuckDB's SQL, over Arrow tables that pyiceberg has read."""
    with duckdb.connect() as db:
        for folder, table in tables.items():
            db.register(folder, table.scan().to_arrow())
        return _counts(row for query in _queries(str) for row in db.execute(query).fetchall())


def with_spark(tables: dict[str, Table]) -> Counts:
    """Counts with Spark SQL, Iceberg's runtime for Spark, and the stack's catalog.

    Spark reads buckets with Java libraries that aren't installed here. The files are therefore copied to disk, and
    Hadoop's ViewFs maps the bucket's URIs to the copies.
    """
    spark.make_environment()
    uri = make_url(os.environ["FRAUDSTREAM_LAKE_CATALOG_URI"])
    prefix = "spark.sql.catalog.fraudstream"
    with tempfile.TemporaryDirectory() as name:
        _copy(tables["transaction"], Path(name))
        configuration = {
            f"{prefix}.type": "jdbc",
            f"{prefix}.uri": f"jdbc:postgresql://{uri.host}:{uri.port}/{uri.database}",
            f"{prefix}.jdbc.user": str(uri.username),
            f"{prefix}.jdbc.password": str(uri.password),
            f"{prefix}.jdbc.schema-version": "V1",
            f"{prefix}.warehouse": f"gs://{LAKE_BUCKET}/iceberg",
            "spark.sql.catalogImplementation": "in-memory",
            "spark.hadoop.fs.gs.impl": "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme",
            "spark.hadoop.fs.viewfs.overload.scheme.target.gs.impl": "org.apache.hadoop.fs.LocalFileSystem",
            f"spark.hadoop.fs.viewfs.mounttable.{LAKE_BUCKET}.link./iceberg": Path(name).as_uri(),
        }
        queries = _queries(lambda folder: f"fraudstream.{_NAMESPACE}.{folder}")
        return _counts(_ask_spark(queries, configuration))


def _ask_spark(queries: list[str], configuration: dict[str, str]) -> list[tuple[str, str | None, int]]:
    done = subprocess.run(
        [spark.ENVIRONMENT / "bin" / "python", "-c", _SESSION, json.dumps(queries)],
        env=spark.submitting(configuration, spark.POSTGRES),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


def _copy(table: Table, folder: Path) -> None:
    """Copies all files of the warehouse, that is, of all tables, to `folder`."""
    if not isinstance(table.io, PyArrowFileIO):
        raise SystemExit("the local stack reads tables with pyarrow")
    bucket, root = table.io.fs_by_scheme("gs", LAKE_BUCKET), f"{LAKE_BUCKET}/iceberg"
    # copy_files() would fail: it creates only folders that are listed, and a bucket lists no folders.
    for info in bucket.get_file_info(pafs.FileSelector(root, recursive=True)):
        if info.is_file:
            copy = folder / Path(info.path).relative_to(root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with bucket.open_input_stream(info.path) as stream:
                copy.write_bytes(stream.read())


if __name__ == "__main__":
    sys.exit(main())
