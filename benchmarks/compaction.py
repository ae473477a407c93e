"""A day of 1,000,000 rows in 500 objects to Parquet, proven; then a day of 6,362,620 rows."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fraudstream.dataset.generator import PUBLISHED_ROWS
from fraudstream.lake import names
from fraudstream.lake.store import Store
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.lake_day import DAY, json_day, upload_day
from benchmarks.report import CEILING, OURS, Report
from benchmarks.rounds import Figures, Subject, run, run_rounds
from benchmarks.stack import FOLDER

ROWS = 1_000_000
OBJECTS = 500
ROUNDS = 3
_WHOLE_PEAK_MIB = 1536
_CEILINGS = ("polars", "duckdb")


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Ours with order, proof, manifest and store, against conversions of the files on disk with none of them."""
    day = json_day(ROWS, OBJECTS)
    _fill(environment, "compaction", day)
    folder, result = day / names.day_prefix(names.TRANSACTIONS, DAY), FOLDER / "peer.parquet"
    subjects = [
        Subject(OURS, "benchmarks.ours.compaction", lambda _: ["compaction"]),
        *(_peer(library, folder, result) for library in _CEILINGS),
        _peer("pandas", folder, result, rounds=1),
    ]
    figures = run_rounds(subjects, ROUNDS, environment, say)
    faster = max(_CEILINGS, key=lambda name: figures[name].median)
    figures = {OURS: figures[OURS], CEILING: figures[faster], **figures}
    whole_day = json_day(PUBLISHED_ROWS, OBJECTS)
    _fill(environment, "compaction-whole", whole_day)
    whole = run("benchmarks.ours.compaction", ["compaction-whole"], environment)
    ours = figures[OURS].median
    return Report(
        "compaction",
        "rows/s",
        figures,
        {
            "every row": all(outcome["items"] == ROWS for outcome in figures[OURS].outcomes),
            f"0.70 of the faster of polars and duckdb ({faster})": ours >= 0.7 * figures[CEILING].median,
            "8 x pandas": ours >= 8 * figures["pandas"].median,
            "whole day": whole["items"] == PUBLISHED_ROWS,
            "whole day within 1.5 GiB": whole["peak_rss_mib"] <= _WHOLE_PEAK_MIB,
        },
        notes=[
            f"whole day: {PUBLISHED_ROWS:,} rows in {whole['seconds']:.1f} s,"
            f" {PUBLISHED_ROWS / whole['seconds']:,.0f} rows/s, peak RSS {whole['peak_rss_mib']:.0f} MiB,"
            f" {whole['json_bytes'] / 1e6:.0f} MB of gzipped JSON to {whole['parquet_bytes'] / 1e6:.0f} MB of Parquet",
            _sizes(figures[OURS]),
        ],
        also={"whole": whole},
    )


def _peer(library: str, folder: Path, result: Path, rounds: int | None = None) -> Subject:
    return Subject(library, "benchmarks.peers.compaction", lambda _: [library, folder, result], rounds=rounds)


def _fill(environment: Mapping[str, str], bucket: str, day: Path) -> None:
    client = storage.Client(
        project="local",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": environment["STORAGE_EMULATOR_HOST"]},
    )
    client.create_bucket(bucket)
    upload_day(Store(client, bucket), day)


def _sizes(figures: Figures) -> str:
    json_mb, parquet_mb = (figures.outcomes[0][size] / 1e6 for size in ("json_bytes", "parquet_bytes"))
    return f"{json_mb:.0f} MB of gzipped JSON became {parquet_mb:.0f} MB of Parquet"
