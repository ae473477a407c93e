"""Latency at 1,000 rows/s for 60 s: from the timestamp of a record to its accepted mail and to its JSON in the lake."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import polars as pl
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import ObjectInfo
from fraudstream.lake.stream.names import FOLDER_OF, MAILS
from isal import igzip

from benchmarks.harness.dataset import lake, paysim, upload
from benchmarks.harness.report import Report
from benchmarks.harness.rounds import BenchmarkFailed, wait_until_quiet
from benchmarks.harness.together import Lags, Task, tasks
from benchmarks.harness.topics import settings_of
from local.programs.postfix import smtp_sink

_RATE = 1_000
_ROWS = 60_000


def benchmark(environment: Mapping[str, str], say: Callable[[str], None]) -> Report:
    """Runs all consumers in parallel with the producer. Times come from records, mail log and objects."""
    store, settings = lake(environment), settings_of(environment)
    uri = upload(store, paysim(_ROWS), "latency.csv")
    with smtp_sink() as port, tasks(environment, port) as running:
        wait_until_quiet()
        say(f"{_RATE:,} rows/s for {_ROWS / _RATE:.0f} s")
        produced = Task(environment, "benchmarks.ours.produce", uri, _RATE).outcome()
        lags = Lags(settings)
        while any(lags.of(role, topic) for role, topic in running):
            for task in running.values():
                if task.ended():
                    raise BenchmarkFailed(f"{task.name} ended before it had read everything: {task.outcome()}")
        lags.close()
        outcomes = {key: task.stop() for key, task in running.items()}
    mail, json = mails(store), objects(store)
    also: dict[str, Any] = {"mail": summary(mail["seconds"]), "lake": summary(json["seconds"])}
    peak = max(outcome["peak_rss_mib"] for outcome in [produced, *outcomes.values()])
    return Report(
        "latency",
        "s, p99 from record to mail",
        {},
        {
            "a mail for each row": len(mail) == _ROWS,
            "JSON of each row": len(json) == _ROWS,
            "mail: p99 < 2 s": also["mail"]["p99"] < 2,
            "lake: p99 < flush interval + 2 s": also["lake"]["p99"] < settings.lake_flush_seconds + 2,
        },
        notes=[
            f"record → {name}: p50 {found['p50']:.2f} s, p99 {found['p99']:.2f} s, max {found['max']:.2f} s"
            for name, found in also.items()
        ],
        also={**also, "flush_seconds": settings.lake_flush_seconds},
        single=(also["mail"]["p99"], peak),
    )


def summary(seconds: pl.Series) -> dict[str, float]:
    """Median, 99th percentile and maximum."""
    p50, p99 = np.percentile(seconds.to_numpy(), [50, 99])
    return {
        "p50": round(float(p50), 3),
        "p99": round(float(p99), 3),
        "max": round(float(cast(float, seconds.max())), 3),
    }


def mails(store: Store) -> pl.DataFrame:
    """For each line of the mail log: `at`, the record's time, and `seconds` until its mail was accepted."""
    return pl.concat(
        _spans(lines, _time(lines, "finishedAt")) for info in store.list(f"{MAILS}/") for lines in [_lines(store, info)]
    )


def objects(store: Store) -> pl.DataFrame:
    """For each JSON line of the other folders: `at`, the record's time, and `seconds` until its object was written."""
    return pl.concat(
        _spans(lines, pl.lit(info.updated, pl.Datetime("ms", "UTC")))
        for folder in sorted(set(FOLDER_OF.values()))
        for info in store.list(f"{folder}/")
        for lines in [_lines(store, info)]
    )


def _lines(store: Store, info: ObjectInfo) -> pl.DataFrame:
    return pl.read_ndjson(igzip.decompress(store.download(info) or b""))


def _spans(lines: pl.DataFrame, end: pl.Series | pl.Expr) -> pl.DataFrame:
    begin = _time(lines, "recordTimestamp").alias("at")
    return pl.select(begin, ((end - begin).dt.total_milliseconds() / 1000).alias("seconds"))


def _time(lines: pl.DataFrame, column: str) -> pl.Series:
    return lines[column].str.to_datetime(time_unit="ms", time_zone="UTC")
