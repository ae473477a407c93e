"""Operators for the lake: compaction of days and maintenance of the tables."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowSkipException

from fraudstream.lake.compaction import spark
from fraudstream.lake.compaction.complete import complete_days, mark_complete
from fraudstream.lake.compaction.pending import pending_days
from fraudstream.lake.compaction.protocol import CompactionReport, compact
from fraudstream.lake.compaction.upkeep import maintain
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.orchestration.assets import folder_asset, table_asset
from fraudstream.orchestration.connections import lake_with_tables
from fraudstream.orchestration.monitoring import metrics
from fraudstream.pipeline.metrics import COMPACTED, COMPACTED_ROWS
from fraudstream.settings import Settings, get_settings

#: Airflow maps a task over at most 1,024 items (core.max_map_length) and fails if there are more.
_MOST_DAYS = 1_000
BY_SIZE, ONE_MACHINE, SPARK = "by_size", "one_machine", "spark"


class ListDays(BaseOperator):
    """Returns the days with JSON to compact or to delete, as arguments for :class:`CompactDay`, oldest first.

    The days are found in the lake, not in the calendar: the next run finds a day that a run missed, or that got late
    records. If there are more days than Airflow maps in one run, the next run does the rest.

    :param day: only this day, YYYY-MM-DD; empty: every day before `before`
    :param before: the first day that isn't compacted, YYYY-MM-DD
    :param keep_json_days: days for which JSON is kept after it was written
    :param engine: the requested engine: one_machine, spark, or by_size: then the setting lake_spark_mib decides
    :param only: return only the days of this engine
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
        """Lists the days.

        :raises LakeError: the bucket can't be listed
        """
        wanted = date.fromisoformat(self.day) if self.day else None
        before = date.fromisoformat(self.before)
        settings = get_settings()
        lake = lake_with_tables(settings)
        written_before = datetime.now(UTC) - timedelta(days=float(self.keep_json_days))
        found: list[dict[str, str]] = []
        for folder in FOLDERS:
            days = pending_days(lake, folder, written_before)
            asked = {
                day: engine_for(self.engine, size, settings)
                for day, size in days.items()
                if (day == wanted if wanted else day < before)
            }
            chosen = self._chosen(asked)
            found += [{"folder": folder, "day": day.isoformat()} for day in chosen]
            self.log.info(
                "%s/: JSON of %d days to move or delete, %d for %s", folder, len(days), len(chosen), self.only
            )
        found.sort(key=lambda one: one["day"])
        if len(found) > _MOST_DAYS:
            self.log.warning("%d days are to be compacted; this run takes the oldest %d", len(found), _MOST_DAYS)
        return found[:_MOST_DAYS]

    def _chosen(self, engines: dict[date, str]) -> list[date]:
        """Returns the days of a folder for this engine, of its days with their engines, oldest first.

        A compaction moves all days up to and including its day, and two of one folder overtake each other. So a folder
        with a day for Spark gets one Spark job, for its last such day. Later days are left to the next run.
        """
        for_spark = [day for day, engine in engines.items() if engine == SPARK]
        if self.only == SPARK:
            return for_spark[-1:]
        return [] if for_spark else list(engines)


def engine_for(asked: str, json_bytes: int, settings: Settings) -> str:
    """The engine that compacts a day with this many bytes of gzipped JSON."""
    if asked != BY_SIZE:
        return asked
    threshold = settings.lake_spark_mib << 20
    return SPARK if threshold and json_bytes >= threshold else ONE_MACHINE


class CompactDay(BaseOperator):
    """Moves the JSON of all days up to and including `day` to the table; returns a report.

    :param job: a Spark job that has ended, and whose result is committed here; None: this task does the work itself
    """

    template_fields = ("folder", "day", "keep_json_days", "job")

    def __init__(self, *, folder: str, day: str, keep_json_days: Any, job: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.folder = folder
        self.day = day
        self.keep_json_days = keep_json_days

    def execute(self, context: Context) -> dict[str, Any]:
        """Compacts and returns the report.

        :raises FraudstreamError: nothing has changed for readers; run it again
        """
        settings = get_settings()
        lake = lake_with_tables(settings)
        keep = timedelta(days=float(self.keep_json_days))
        report = (
            spark.finish(lake, self.job, keep_json=keep)
            if self.job
            else compact(
                lake,
                self.folder,
                date.fromisoformat(self.day),
                keep_json=keep,
                target_bytes=settings.lake_target_mib << 20,
            )
        )
        self.log.info(
            "%s/ up to %s: %d JSON objects with %d rows (%d bytes) became %d files of the table (%d bytes); "
            "%d objects deleted; %.1f s",
            report.folder,
            report.day,
            report.json_objects,
            report.json_rows,
            report.json_bytes,
            report.files,
            report.file_bytes,
            report.deleted_objects,
            report.seconds,
        )
        metrics.report(COMPACTED, report.seconds, folder=report.folder)
        metrics.report(COMPACTED_ROWS, report.json_rows, folder=report.folder)
        return _plain(report)


def _plain(report: CompactionReport) -> dict[str, Any]:
    return asdict(report) | {"day": report.day.isoformat(), "days": [day.isoformat() for day in report.days]}


class CompleteDays(BaseOperator):
    """Emits an asset event of a folder's table for each day that became complete or got late rows; returns the days.

    :param before: the first day that isn't closed yet, YYYY-MM-DD
    :param reports: the reports of the run's :class:`CompactDay` tasks; None for a task that didn't run
    """

    template_fields = ("before", "reports")

    def __init__(self, *, folder: str, before: str, reports: Any, **kwargs: Any) -> None:
        super().__init__(inlets=[folder_asset(folder)], outlets=[table_asset(folder)], **kwargs)
        self.folder = folder
        self.before = before
        self.reports = reports

    def execute(self, context: Context) -> list[str]:
        """Emits the events and returns the days.

        :raises AirflowSkipException: there is no such day
        :raises LakeUnavailable: the store or the catalog doesn't answer
        """
        changed = {
            date.fromisoformat(day)
            for reports in self.reports
            for report in reports or ()
            if report and report["folder"] == self.folder
            for day in report["days"]
        }
        lake = lake_with_tables(get_settings())
        days = [day.isoformat() for day in complete_days(lake, self.folder, date.fromisoformat(self.before), changed)]
        if not days:
            raise AirflowSkipException(f"no day of {self.folder}/ became complete")
        context["outlet_events"][table_asset(self.folder)].add_partitions(days)
        self.log.info("%s/: complete: %s", self.folder, ", ".join(days))
        return days


class MaintainTable(BaseOperator):
    """Rewrites a table's small files, expires snapshots, removes orphan files; stores up to which day it is complete.

    :param before: the first day that isn't closed yet, YYYY-MM-DD
    """

    template_fields = ("before",)

    def __init__(self, *, folder: str, before: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.before = before

    def execute(self, context: Context) -> dict[str, Any]:
        """Maintains the table and returns a report.

        :raises FraudstreamError: nothing has changed for readers; run it again
        """
        settings = get_settings()
        lake = lake_with_tables(settings)
        before = date.fromisoformat(self.before)
        mark_complete(lake, self.folder, before)
        report = maintain(
            lake,
            self.folder,
            before,
            keep=timedelta(hours=settings.lake_keep_snapshots_hours),
            target_bytes=settings.lake_target_mib << 20,
        )
        self.log.info(
            "%s/: %d small files of %d days became %d; %d snapshots expired, %d orphan files deleted",
            report.folder,
            report.files_before,
            len(report.days),
            report.files_after,
            report.snapshots,
            report.orphans,
        )
        return asdict(report) | {"days": [day.isoformat() for day in report.days]}
