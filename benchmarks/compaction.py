"""Compaction of 1,000,000 rows in 500 objects to an Iceberg table, queries before and after; then 6,362,620 rows."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fraudstream.dataset.generator import PUBLISHED_ROWS
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream import names
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.harness.lake_day import DAY, cases_and_mails, json_day, upload_day
from benchmarks.harness.report import CEILING, OURS, Report, reaches
from benchmarks.harness.rounds import Figures, Subject, run, run_rounds
from benchmarks.harness.stack import FOLDER
from local.programs import spark

ROWS = 1_000_000
OBJECTS = 500
#: Each round takes about a minute, mostly for Spark.
ROUNDS = 3
_CASES, _MAILS = 1_000, 100_000
_WHOLE_PEAK_MIB = 1536
#: DuckDB's sorted COPY of the same files. In the second ceiling ISA-L decompresses them first, as in the pipeline.
_DUCKDB = f"{CEILING}, duckdb-sorted"
_CEILINGS = {_DUCKDB: "duckdb-sorted", f"{CEILING}, isal and duckdb-sorted": "isal_duckdb-sorted"}
_OTHERS = ("duckdb", "polars", "polars-sorted", "pandas")


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Compares the compaction, which sorts, verifies, uploads and commits, with mere conversions of local files."""
    day = json_day(ROWS, OBJECTS)
    store = bucket(environment, "compaction")
    upload_day(store, day)
    folder, result = day / names.day_prefix(names.TRANSACTIONS, DAY), FOLDER / "peer.parquet"
    spark.make_environment()
    subjects = [
        Subject(OURS, "benchmarks.ours.tables.compaction", lambda _: ["compaction"]),
        *(_peer(name, library, folder, result) for name, library in _CEILINGS.items()),
        *(_peer(library, library, folder, result) for library in _OTHERS),
        Subject(
            "Spark",
            "benchmarks.peers.compaction_spark",
            lambda _: [folder, FOLDER / "peer-spark"],
            python=str(spark.ENVIRONMENT / "bin" / "python"),
        ),
    ]
    with_spark = {**spark.environment(), **environment}
    figures = run_rounds(subjects, ROUNDS, with_spark, say)
    questions = _questions(environment, day)
    sixty = run("benchmarks.ours.tables.day_of_many", [], environment)
    whole_day = json_day(PUBLISHED_ROWS, OBJECTS)
    upload_day(bucket(environment, "compaction-whole"), whole_day)
    whole = run("benchmarks.ours.tables.compaction", ["compaction-whole"], environment)
    ours = figures[OURS]
    return Report(
        "compaction",
        "rows/s",
        figures,
        {
            "every row": all(outcome["items"] == ROWS for outcome in figures[OURS].outcomes),
            "0.75 of duckdb-sorted": reaches(ours, 0.75, figures[_DUCKDB]),
            "2 x pandas with its pyarrow engine": reaches(ours, 2, figures["pandas"]),
            "a day of sixty at most 1.2 x a day alone": sixty["of sixty"] <= 1.2 * sixty["alone"],
            "whole day": whole["items"] == PUBLISHED_ROWS,
            "whole day within 1.5 GiB": whole["peak_rss_mib"] <= _WHOLE_PEAK_MIB,
        },
        notes=[
            f"whole day: {PUBLISHED_ROWS:,} rows in {whole['seconds']:.1f} s,"
            f" {PUBLISHED_ROWS / whole['seconds']:,.0f} rows/s, peak RSS {whole['peak_rss_mib']:.0f} MiB,"
            f" {whole['json_bytes'] / 1e6:.0f} MB of gzipped JSON to {whole['parquet_bytes'] / 1e6:.0f} MB of Parquet",
            _sizes(figures[OURS]),
            f"query of one day: {sixty['alone']:.2f} s where the lake has only that day,"
            f" {sixty['of sixty']:.2f} s where it has sixty",
            *_lines(questions),
        ],
        also={"whole": whole, "questions": questions, "sixty": sixty},
    )


def _questions(environment: Mapping[str, str], day: Path) -> dict[str, Any]:
    """Seconds and megabytes read of each query, over JSON and over tables."""
    store = bucket(environment, "questions")
    upload_day(store, day)
    cases_and_mails(store, _CASES, _MAILS)
    outcome = run("benchmarks.ours.tables.lake_questions", ["questions"], environment)
    return {of: outcome[of] for of in ("json", "table")}


def _lines(questions: dict[str, Any]) -> list[str]:
    return [
        f"{question}: "
        + ", ".join(
            f"{questions[of][question][0]:.2f} s and {questions[of][question][1]:.2f} MB {what}"
            for of, what in (
                ("json", "of JSON"),
                ("table", "of the table"),
            )
        )
        for question in questions["json"]
    ]


def _peer(name: str, library: str, folder: Path, result: Path) -> Subject:
    return Subject(name, "benchmarks.peers.compaction", lambda _: [library, folder, result])


def bucket(environment: Mapping[str, str], name: str) -> Store:
    """Creates a bucket on the benchmarks' stack."""
    client = storage.Client(
        project="local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": environment["STORAGE_EMULATOR_HOST"]},
    )
    client.create_bucket(name)
    return Store(client, name)


def _sizes(figures: Figures) -> str:
    json_mb, parquet_mb = (figures.outcomes[0][size] / 1e6 for size in ("json_bytes", "parquet_bytes"))
    return f"{json_mb:.0f} MB of gzipped JSON became {parquet_mb:.0f} MB of Parquet"
