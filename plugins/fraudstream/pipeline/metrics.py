"""All metrics that the pipeline reports through Airflow: names, units and tags. docs/metrics.md is made from them.

StatsD and OpenTelemetry get the names with the prefixes of Airflow and the pipeline: ``airflow.fraudstream.records``.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from fraudstream.pipeline.airflow_health import Health
from fraudstream.pipeline.sampling.sample import Sample

PREFIX = "fraudstream."


class Metric(NamedTuple):
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "timer"]
    unit: str
    tags: tuple[str, ...]
    reported_by: str
    meaning: str


_GROUP = ("role", "topic")
RECORDS = Metric("records", "counter", "records", _GROUP, "consumers", "records that a sink took")
BYTES = Metric("bytes", "counter", "bytes", _GROUP, "consumers", "their size in memory, decoded")
BATCH = Metric("batch", "timer", "seconds", _GROUP, "consumers", "time in which a sink took a batch")
FLUSH = Metric("flush", "timer", "seconds", _GROUP, "consumers", "time in which a sink made batches durable")
DELAY = Metric("delay", "gauge", "seconds", _GROUP, "consumers", "age of the last record when its sink took it")
INVALID = Metric("invalid_records", "counter", "records", _GROUP, "consumers", "records that are dead letters")
LAG = Metric("lag_records", "gauge", "records", _GROUP, "API server", "records that a group has not processed")
LAG_SECONDS = Metric(
    "lag_seconds", "gauge", "seconds", _GROUP, "API server", "age of the oldest of them; not reported while unknown"
)
END_OFFSET = Metric("end_offset", "gauge", "offset", ("topic",), "API server", "sum of a topic's end offsets")
PRODUCED = Metric("produced", "gauge", "rows", ("outcome",), "API server", "rows of files: fraud, nonFraud, rejected")
DEAD_LETTERS = Metric(
    "dead_letters", "gauge", "records", ("topic",), "API server", "dead letters that were not produced again"
)
MAILS = Metric("mails", "gauge", "lines", ("topic", "status"), "API server", "lines of the mail log")
UNDELIVERED = Metric("notices_undelivered", "gauge", "notices", (), "API server", "fraud notices that reached nobody")
WAITING = Metric("cases_waiting", "gauge", "cases", (), "API server", "cases without an outcome")
OVERDUE = Metric("cases_overdue", "gauge", "cases", (), "API server", "of these, those whose time is over")
OUTCOMES = Metric("cases_ended", "gauge", "cases", ("outcome",), "API server", "cases with an outcome")
LAKE_ROWS = Metric("lake_rows", "gauge", "rows", ("folder",), "API server", "rows of a folder, in JSON and table")
SNAPSHOTS = Metric("table_snapshots", "gauge", "snapshots", ("folder",), "API server", "snapshots of a table")
AUDIT_OK = Metric("audit_ok", "gauge", "1 or 0", (), "API server", "verdict of the last audit")
AUDIT_AGE = Metric("audit_age_seconds", "gauge", "seconds", (), "API server", "time since the last audit")
COMPACTION_AGE = Metric(
    "compaction_age_seconds", "gauge", "seconds", (), "API server", "time since compact_lake last succeeded"
)
HEARTBEAT = Metric(
    "heartbeat_age_seconds",
    "gauge",
    "seconds",
    ("job",),
    "API server",
    "time since the last heartbeat of a kind of job",
)
TRIGGERER_LOAD = Metric(
    "triggerer_load", "gauge", "share", (), "API server", "share of the triggerers' capacity that is in use"
)
DISK = Metric("disk_share", "gauge", "share", (), "API server", "share of the API server's disk that is in use")
SAMPLES = Metric("samples", "counter", "samples", (), "API server", "samples that were taken")
PROBLEMS = Metric("sample_problems", "gauge", "parts", (), "API server", "parts that the last sample lacks")
AUDITED = Metric("audit", "timer", "seconds", (), "audit_lake", "time of an audit")
AUDIT_FOUND = Metric(
    "audit_found", "gauge", "records", ("what",), "audit_lake", "missing, duplicated, unexpected and behind"
)
COMPACTED = Metric("compaction", "timer", "seconds", ("folder",), "compact_lake", "time of a day's compaction")
COMPACTED_ROWS = Metric("compacted_rows", "counter", "rows", ("folder",), "compact_lake", "rows moved to a table")

METRICS = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

Reported = tuple[Metric, float, dict[str, str]]


def of_sample(sample: Sample, now: float) -> Iterator[Reported]:
    """The metrics of a sample, without those of parts that it lacks."""
    yield SAMPLES, 1, {}
    yield PROBLEMS, len(sample.problems), {}
    for topic, end in sample.topics.items():
        yield END_OFFSET, end, {"topic": topic}
    for name, group in sample.groups.items():
        role, _, topic = name.partition("-")
        yield LAG, group.lag, {"role": role, "topic": topic}
        if group.lag_seconds is not None:
            yield LAG_SECONDS, group.lag_seconds, {"role": role, "topic": topic}
    yield from _of_cases(sample)
    yield from _of_lake(sample, now)


def _of_cases(sample: Sample) -> Iterator[Reported]:
    if sample.cases is None:
        return
    yield WAITING, sample.cases.open, {}
    yield OVERDUE, sample.cases.overdue, {}
    yield UNDELIVERED, sum(sample.cases.undelivered.values()), {}
    for outcome, count in sample.cases.outcomes.items():
        yield OUTCOMES, count, {"outcome": outcome}
    for outcome, rows in sample.produced.items():
        yield PRODUCED, rows, {"outcome": outcome}
    for topic in sample.topics:
        if topic.endswith(".dead_letter"):  # all topics, so that a count that falls to 0 is reported
            yield DEAD_LETTERS, sum(sample.dead_letters.get(topic, {}).values()), {"topic": topic}


def _of_lake(sample: Sample, now: float) -> Iterator[Reported]:
    lake = sample.lake
    if lake is None:
        return
    for folder, rows in lake.rows.items():
        yield LAKE_ROWS, rows, {"folder": folder}
    for folder, table in lake.tables.items():
        yield SNAPSHOTS, table.snapshots, {"folder": folder}
    for topic, statuses in lake.mails.items():
        for status, lines in statuses.items():
            yield MAILS, lines, {"topic": topic, "status": status}
    if lake.audited_at is not None:
        yield AUDIT_OK, int(bool(lake.audit_ok)), {}
        yield AUDIT_AGE, now - lake.audited_at, {}


def of_health(health: Health, now: float) -> Iterator[Reported]:
    """The metrics of Airflow's health."""
    for job, age in health.heartbeats.items():
        if age is not None:
            yield HEARTBEAT, age, {"job": job}
    if health.load is not None:
        yield TRIGGERER_LOAD, health.load, {}
    if (run := health.runs.get("compact_lake")) is not None and run.state == "success":
        yield COMPACTION_AGE, now - run.ended_at, {}
    yield DISK, health.disk, {}
