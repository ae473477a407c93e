"""Latency of the page "Cases" with 10,000 open cases and a day of 1 M rows in the lake, as JSON and compacted."""

from collections.abc import Callable, Mapping

from fraudstream.dataset.generator import plan, write_file

from benchmarks.compaction import bucket
from benchmarks.harness.dataset import lake, upload
from benchmarks.harness.lake_day import cases_and_mails, json_day, upload_day
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import run
from benchmarks.harness.stack import FOLDER

CASES, ROWS, OBJECTS, MAILS = 10_000, 1_000_000, 500, 10_000
#: Limits in milliseconds: p99 of the queue's requests, p50 of a case's page and of traces.
_QUEUE_MS, _CASE_MS, _TRACE_MS = 500, 1_000, 5_000


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Sends requests one after the other, as a user does, to the app without Airflow's login."""
    path = FOLDER / "desk-frauds.csv"
    write_file(path, plan(CASES, frauds=CASES), 1, lambda _: None)
    run("benchmarks.ours.produce", [upload(lake(environment), path, path.name)], environment)
    store = bucket(environment, "desk")
    upload_day(store, json_day(ROWS, OBJECTS))
    cases_and_mails(store, CASES, MAILS)
    say(f"{CASES:,} open cases, a day of {ROWS:,} rows in {OBJECTS} objects")
    outcome = run("benchmarks.ours.desk", [CASES, "desk"], environment)
    pages = outcome["pages"]
    for name, taken in pages.items():
        say(f"{name}: p50 {taken['p50_ms']:.0f} ms, p99 {taken['p99_ms']:.0f} ms, {taken['requests']} requests")
    return Report(
        "desk",
        "ms, p50 of the queue",
        {},
        {
            f"the queue's p99 is below {_QUEUE_MS} ms": all(
                taken["p99_ms"] < _QUEUE_MS for name, taken in pages.items() if name.startswith("queue")
            ),
            f"a case's p50 is below {_CASE_MS} ms once the day is compacted": pages["case, compacted"]["p50_ms"]
            < _CASE_MS,
            f"a trace's p50 is below {_TRACE_MS} ms": all(
                taken["p50_ms"] < _TRACE_MS for name, taken in pages.items() if name.startswith("trace")
            ),
            "every case is in the queue": outcome["cases"] == CASES,
        },
        notes=[f"{name}: p50 {taken['p50_ms']:.0f} ms, p99 {taken['p99_ms']:.0f} ms" for name, taken in pages.items()]
        + [f"the index of {CASES:,} cases is built in {outcome['index_seconds']:.1f} s"],
        single=(pages["queue by deadline"]["p50_ms"], outcome["peak_rss_mib"]),
        also={"pages": pages, "index_seconds": outcome["index_seconds"]},
    )
