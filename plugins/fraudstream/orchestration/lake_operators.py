"""Operators on the lake: compaction of days, audit."""

import io
import time
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from rich.console import Console

from fraudstream.errors import ProofFailed
from fraudstream.lake.audit.audit import AuditReport, audit
from fraudstream.lake.audit.report import print_report
from fraudstream.lake.compaction.compaction import compact, needed
from fraudstream.lake.compaction.one_machine import one_machine
from fraudstream.lake.compaction.spark import discard, finished
from fraudstream.lake.stream.names import FOLDERS, day_in
from fraudstream.orchestration.connections import lake
from fraudstream.settings import Settings, get_settings

#: Airflow maps a task over 1,024 (core.max_map_length) and fails when there are more.
_MOST_DAYS = 1_000
BY_SIZE, ONE_MACHINE, SPARK = "by_size", "one_machine", "spark"


class ListDays(BaseOperator):
    """The days on which there is something to compact or to delete, as arguments for :class:`CompactDay`, oldest first.

    They are found in the lake, not in the calendar: a day that a run missed, or to which late records came, is there
    for the next one. What is more than Airflow maps in one run is left to the run after it.

    :param day: only this one, YYYY-MM-DD; empty: every day before `before`
    :param before: the first day that isn't closed yet, YYYY-MM-DD
    :param keep_json_days: how long JSON stays after it was compacted
    :param engine: what was asked for: one_machine, spark, or by_size, which the setting lake_spark_mib decides
    :param only: the engine whose days are wanted
    """

    template_fields = ("day", "before", "engine", "keep_json_days")

    def __init__(
        self, *, day: str, before: str, engine: str, only: str, keep_json_days: Any = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.day = day
        self.before = before
        self.keep_json_days = keep_json_days
        self.engine = engine
        self.only = only

    def execute(self, context: Context) -> list[dict[str, str]]:
        """:raises LakeError: the bucket can't be listed"""
        wanted = date.fromisoformat(self.day) if self.day else None
        before = date.fromisoformat(self.before)
        settings = get_settings()
        store = lake(settings)
        keep, now = timedelta(days=float(self.keep_json_days)), datetime.now(UTC)
        found: list[dict[str, str]] = []
        for folder in FOLDERS:
            sizes: dict[date, int] = defaultdict(int)
            for info in store.list(f"{folder}/"):
                day = day_in(info.name)
                if day is not None and info.name.endswith(".json.gz"):
                    sizes[day] += info.size
            closed = sorted(day for day in sizes if (day == wanted if wanted else day < before))
            mine = [day for day in closed if engine_for(self.engine, sizes[day], settings) == self.only]
            chosen = [day for day in mine if needed(store, folder, day, keep_json=keep, now=now)]
            found += [{"folder": folder, "day": day.isoformat()} for day in chosen]
            self.log.info("%s/: %d days have JSON, %d are for %s", folder, len(sizes), len(chosen), self.only)
        found.sort(key=lambda one: one["day"])
        if len(found) > _MOST_DAYS:
            self.log.warning("%d days are to be compacted; this run takes the oldest %d", len(found), _MOST_DAYS)
        return found[:_MOST_DAYS]


def engine_for(asked: str, json_bytes: int, settings: Settings) -> str:
    """The engine that compacts a day with so much gzipped JSON."""
    if asked != BY_SIZE:
        return asked
    threshold = settings.lake_spark_mib << 20
    return SPARK if threshold and json_bytes >= threshold else ONE_MACHINE


class CompactDay(BaseOperator):
    """Turns a day's JSON into Parquet; returns what it did. See :func:`fraudstream.lake.compaction.compaction.compact`.

    :param job: of Spark, which has been done by now; None: the work is done here
    """

    template_fields = ("folder", "day", "keep_json_days", "job")

    def __init__(self, *, folder: str, day: str, keep_json_days: Any, job: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.folder = folder
        self.day = day
        self.keep_json_days = keep_json_days

    def execute(self, context: Context) -> dict[str, Any]:
        """:raises FraudstreamError: nothing has changed for readers; run it again"""
        settings = get_settings()
        store = lake(settings)
        report = compact(
            store,
            self.folder,
            date.fromisoformat(self.day),
            keep_json=timedelta(days=float(self.keep_json_days)),
            target_bytes=settings.lake_target_mib << 20,
            engine=finished if self.job else one_machine,
        )
        if self.job:
            discard(store, str(self.job).split("/")[1])
        self.log.info(
            "%s/ of %s: %d JSON objects with %d rows (%d bytes) became %d Parquet files with %d rows (%d bytes); "
            "%d objects deleted; %.1f s",
            report.folder,
            report.day,
            report.json_objects,
            report.json_rows,
            report.json_bytes,
            report.parquet_files,
            report.parquet_rows,
            report.parquet_bytes,
            report.deleted_objects,
            report.seconds,
        )
        return asdict(report) | {"day": report.day.isoformat()}


class AuditLake(BaseOperator):
    """Compares topics, lake and mail log, prints the table, and fails when anything is missing, doubled or stuck.

    :param settle_seconds: a topic-partition that is behind and doesn't move within this time is stuck
    """

    template_fields = ("settle_seconds",)

    def __init__(self, *, settle_seconds: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settle_seconds = settle_seconds

    def execute(self, context: Context) -> dict[str, Any]:
        """:raises ProofFailed: the message says what, where"""
        settings = get_settings()
        store = lake(settings)
        report = audit(settings, store)
        stuck: list[str] = []
        if report.total("behind"):
            self.log.info(
                "%d records aren't in yet; looking again in %s s", report.total("behind"), self.settle_seconds
            )
            time.sleep(float(self.settle_seconds))
            before, report = report, audit(settings, store)
            stuck = _stuck(before, report)
        page = io.StringIO()
        print_report(report, Console(file=page, width=160))
        self.log.info("audit\n%s", page.getvalue())
        if stuck or not report.ok:
            raise ProofFailed(
                f"the audit found {report.total('missing_count')} records missing, {report.total('duplicated_count')} "
                f"doubled, {report.total('unexpected_count')} unexpected; overdue cases without an outcome: "
                f"{', '.join(report.overdue_case_ids) or 'none'}; stuck: {', '.join(stuck) or 'none'}. The table above "
                f"has the ranges; close_expired_cases ends overdue cases; what is stuck needs its consume_ DAG"
            )
        return report.to_dict()


def _stuck(before: AuditReport, after: AuditReport) -> list[str]:
    """Topic-partitions that were behind and still are, without a record more."""
    then = {(line.partition, line.target): line for line in before.lines}
    return [
        f"{line.partition} to {line.target} ({line.behind} behind)"
        for line in after.lines
        if line.behind and (was := then.get((line.partition, line.target))) and was.behind and was.found == line.found
    ]
