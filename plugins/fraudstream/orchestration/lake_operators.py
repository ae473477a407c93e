"""Operators on the lake: compaction of days, audit."""

import io
import time
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from rich.console import Console

from fraudstream.errors import ProofFailed
from fraudstream.lake.audit import AuditReport, audit
from fraudstream.lake.audit_table import print_report
from fraudstream.lake.compaction import compact
from fraudstream.lake.names import FOLDERS, day_in
from fraudstream.orchestration.connections import lake
from fraudstream.settings import get_settings


class ListDays(BaseOperator):
    """The days that have JSON lines, as arguments for :class:`CompactDay`, oldest first.

    :param day: only this one, YYYY-MM-DD; empty: every day before `before`
    :param before: the first day that isn't closed yet, YYYY-MM-DD
    """

    template_fields = ("day", "before")

    def __init__(self, *, day: str, before: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.day = day
        self.before = before

    def execute(self, context: Context) -> list[dict[str, str]]:
        """:raises LakeError: the bucket can't be listed"""
        only = date.fromisoformat(self.day) if self.day else None
        before = date.fromisoformat(self.before)
        store = lake(get_settings())
        found = []
        for folder in FOLDERS:
            with_lines = (info.name for info in store.list(f"{folder}/") if info.name.endswith(".json.gz"))
            days = {day for name in with_lines if (day := day_in(name)) is not None}
            chosen = sorted(day for day in days if (day == only if only else day < before))
            found += [{"folder": folder, "day": day.isoformat()} for day in chosen]
            self.log.info("%s/: %d days have JSON, %d are to be compacted", folder, len(days), len(chosen))
        return found


class CompactDay(BaseOperator):
    """Turns a day's JSON into Parquet; returns what it did. See :func:`fraudstream.lake.compaction.compact`."""

    template_fields = ("folder", "day", "keep_json_days")

    def __init__(self, *, folder: str, day: str, keep_json_days: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.day = day
        self.keep_json_days = keep_json_days

    def execute(self, context: Context) -> dict[str, Any]:
        """:raises FraudstreamError: nothing has changed for readers; run it again"""
        report = compact(
            lake(get_settings()),
            self.folder,
            date.fromisoformat(self.day),
            keep_json=timedelta(days=float(self.keep_json_days)),
        )
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
                f"doubled, {report.total('unexpected_count')} unexpected; stuck: {', '.join(stuck) or 'none'}. "
                f"The table above has the ranges; a stuck topic-partition needs its consume_ DAG running"
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
