"""Operators on the lake: compaction of days, audit."""

from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

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
