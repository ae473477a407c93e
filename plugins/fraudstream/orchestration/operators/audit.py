"""The operator that audits the lake."""

import io
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from rich.console import Console

from fraudstream.cases.answers.figures import answer_figures
from fraudstream.cases.answers.figures import as_table as answers_table
from fraudstream.errors import ProofFailed
from fraudstream.lake.audit import position
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.audit.checks import Limits
from fraudstream.lake.audit.report import print_report, problems
from fraudstream.lake.audit.result import AuditReport
from fraudstream.lake.stream.names import FOLDER_OF, FOLDERS
from fraudstream.orchestration.assets import AUDITS, folder_asset, table_asset, topic_asset
from fraudstream.orchestration.connections import lake_with_tables
from fraudstream.orchestration.monitoring import metrics
from fraudstream.pipeline.metrics import AUDIT_FOUND, AUDITED
from fraudstream.settings import get_settings

#: Maximum number of problems in the message of a red audit.
_PROBLEMS_NAMED = 20


class AuditLake(BaseOperator):
    """Compares topics, lake and mail log, prints the table, and fails if records are missing, doubled or stuck.

    The next audit continues after the last green one. The folder audit/ of the lake keeps the results of all audits.

    :param settle_seconds: a topic-partition that is behind and makes no progress within this time is stuck
    :param full: audit all records, not only those since the last green audit
    :param max_dead_letters: the audit is red if there are more dead letters since the last green one; the same applies
        to `max_undelivered_mails` and `max_undelivered_notices`
    :param max_retention_gaps: the audit is red if retention deleted more offsets that weren't read
    """

    template_fields = (
        "settle_seconds",
        "full",
        "max_dead_letters",
        "max_undelivered_mails",
        "max_undelivered_notices",
        "max_retention_gaps",
    )

    def __init__(
        self,
        *,
        settle_seconds: Any,
        full: Any = False,
        max_dead_letters: Any = 0,
        max_undelivered_mails: Any = 0,
        max_undelivered_notices: Any = 0,
        max_retention_gaps: Any = 0,
        **kwargs: Any,
    ) -> None:
        folders = [asset(folder) for folder in FOLDERS for asset in (folder_asset, table_asset)]
        super().__init__(inlets=[*map(topic_asset, FOLDER_OF), *folders], outlets=[AUDITS], **kwargs)
        self.settle_seconds = settle_seconds
        self.full = full
        self.max_dead_letters = max_dead_letters
        self.max_undelivered_mails = max_undelivered_mails
        self.max_undelivered_notices = max_undelivered_notices
        self.max_retention_gaps = max_retention_gaps

    def execute(self, context: Context) -> dict[str, Any]:
        """Runs the audit and returns its result.

        :raises ProofFailed: the audit is red; the message names the problems and their places
        """
        settings = get_settings()
        lake = lake_with_tables(settings)
        last = position.load(lake.store)
        begin = replace(last, ends={}) if str(self.full).lower() == "true" else last
        limits = Limits(
            dead_letters=int(self.max_dead_letters),
            undelivered_mails=int(self.max_undelivered_mails),
            undelivered_notices=int(self.max_undelivered_notices),
            retention_gaps=int(self.max_retention_gaps),
        )
        report = audit(settings, lake, position=begin, limits=limits)
        stuck: list[str] = []
        if report.total("behind"):
            self.log.info(
                "%d records aren't processed yet; auditing again in %s s", report.total("behind"), self.settle_seconds
            )
            time.sleep(float(self.settle_seconds))
            before, report = report, audit(settings, lake, position=begin, limits=limits)
            stuck = _stuck(before, report)
        page = io.StringIO()
        console = Console(file=page, width=160)
        print_report(report, console)
        figures = answer_figures(report.topics.cases, report.topics.answers)
        console.print(answers_table(figures))
        self.log.info("audit\n%s", page.getvalue())
        now = datetime.now(UTC)
        result = report.to_dict() | {"ok": report.ok and not stuck, "stuck": stuck}
        position.add_to_history(lake.store, result, now)
        metrics.report(AUDITED, report.seconds)
        for what in ("missing_count", "duplicated_count", "unexpected_count", "behind"):
            metrics.report(AUDIT_FOUND, report.total(what), what=what.removesuffix("_count"))
        if stuck or not report.ok:
            found = problems(report) + [f"stuck: {one}" for one in stuck]
            more = f"; and {len(found) - _PROBLEMS_NAMED} more" if len(found) > _PROBLEMS_NAMED else ""
            raise ProofFailed(
                f"the audit is red. {'; '.join(found[:_PROBLEMS_NAMED])}{more}. The table above has all of it;"
                " docs/deploy.md has the runbooks; close_expired_cases ends overdue cases; what is stuck needs its"
                " consume_ DAG"
            )
        position.save(lake.store, report.position, now)
        return result | {"answers": [one.to_dict() for one in figures]}


def _stuck(before: AuditReport, after: AuditReport) -> list[str]:
    """Topic-partitions that were behind in both audits, without a new record in between."""
    then = {(line.partition, line.target): line for line in before.lines}
    return [
        f"{line.partition} to {line.target} ({line.behind} behind)"
        for line in after.lines
        if line.behind and (was := then.get((line.partition, line.target))) and was.behind and was.found == line.found
    ]
