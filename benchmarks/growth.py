"""Time and memory of a compaction by its number of rows, with DuckDB and with Spark in local mode.

Whole runs are measured: Spark's include the start of the JVM. ``python -m benchmarks.plots`` draws the result.
"""

from collections.abc import Callable, Mapping

from fraudstream.dataset.generator import PUBLISHED_ROWS

from benchmarks.compaction import bucket
from benchmarks.harness.lake_day import json_day, upload_day
from benchmarks.harness.report import OURS, Report
from benchmarks.harness.rounds import Figures, run, wait_until_quiet
from local.programs import spark

SIZES = (250_000, 1_000_000, 3_000_000)
ROWS_OF_AN_OBJECT = 2_000
SPARK = "Spark"
#: Limits for three times as many rows with the pipeline's own engine: factor of the time, and factor of the memory.
_STEEPEST, _MORE_MEMORY = 3.6, 1.6
_WHOLE_PEAK_MIB = 1536


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Runs each size once with each engine, each in its own process and bucket."""
    spark.make_environment()
    figures = {OURS: Figures(), SPARK: Figures()}
    for rows in SIZES:
        day = json_day(rows, rows // ROWS_OF_AN_OBJECT)
        for engine, measured in figures.items():
            name = f"growth-{engine.lower()}-{rows}"
            upload_day(bucket(environment, name), day)
            wait_until_quiet()
            outcome = run("benchmarks.ours.tables.growth", [engine.lower(), name, day], environment)
            measured.outcomes.append(outcome)
            say(f"{engine}, {rows:,} rows: {outcome['seconds']:.1f} s, peak RSS {outcome['peak_rss_mib']:.0f} MiB")
    middle, large = figures[OURS].outcomes[1:]
    return Report(
        "growth",
        "rows/s",
        figures,
        {
            "every row": all(
                outcome["items"] == rows
                for measured in figures.values()
                for rows, outcome in zip(SIZES, measured.outcomes, strict=True)
            ),
            "three times the rows take at most 3.6 times as long": large["seconds"] <= _STEEPEST * middle["seconds"],
            "memory stays flat": large["peak_rss_mib"] <= _MORE_MEMORY * middle["peak_rss_mib"]
            and large["peak_rss_mib"] <= _WHOLE_PEAK_MIB,
        },
        notes=[f"for comparison: PaySim has {PUBLISHED_ROWS:,} rows"],
        also={
            "points": [
                {
                    "engine": engine,
                    "rows": outcome["items"],
                    **{key: outcome[key] for key in ("seconds", "peak_rss_mib")},
                }
                for engine, measured in figures.items()
                for outcome in measured.outcomes
            ]
        },
    )
