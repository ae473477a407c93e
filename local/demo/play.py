"""Runs a file through the DAGs of the stack, answers for the simulated customers, and counts the results."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fraudstream.cases.answers.staff import STAFF
from fraudstream.cases.events import ESCALATED, MAIL_BOUNCED, REMINDED
from fraudstream.dataset.head import Head
from fraudstream.dataset.source.source import Source, open_source
from fraudstream.kafka.records import MAIL_RETRY
from fraudstream.lake.query.printing import as_table
from fraudstream.lake.query.query import query
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings
from google.cloud import storage

from local.demo.airflow_api import AirflowApi, RunFailed
from local.demo.counts import Counts
from local.demo.mails import Mails
from local.demo.stages import Stages
from local.demo.streaming import RETRY, WATCH, Streaming
from local.demo.summary import CAUSES, STATUSES, Summary
from local.stack.ports import Ports

DAGS = {
    "start_kafka",
    "produce_transactions",
    "consume_non_fraud_transactions",
    "consume_fraud_transactions",
    "consume_fraud_confirmations",
    "consume_case_events",
    "fraud_confirmation",
    WATCH,
    RETRY,
    "compact_lake",
    "audit_lake",
}
CONSUMERS = sorted(dag for dag in DAGS if dag.startswith("consume_"))
QUESTIONS = (
    "SELECT type, count(*) AS payments, sum(amount) AS total FROM transaction GROUP BY type ORDER BY type",
    "SELECT type, status, count(*) AS cases, sum(amount) AS total FROM fraud_case GROUP BY ALL ORDER BY ALL",
)


class Play:
    """The path of one file through the running stack."""

    def __init__(self, stages: Stages, chromium: str | None) -> None:
        self._stages = stages
        self._chromium = chromium
        self._console = stages.console

    def run(self, path: Path, limit: int, mails: Mails) -> Summary:
        """Uploads a file, runs its first `limit` rows through the pipeline, and returns the counts."""
        ports = Ports.from_environment()
        settings = Settings()
        lake = Lake.connect(settings)
        source = self._source(self._upload(lake.store, path))
        with (
            AirflowApi(ports.url("airflow")) as airflow,
            Counts(settings, lake, airflow, source, limit) as counts,
        ):
            return self._play(airflow, mails, counts, lake, source, limit)

    def _play(
        self, airflow: AirflowApi, mails: Mails, counts: Counts, lake: Lake, source: Source, limit: int
    ) -> Summary:
        with self._stages.stage("count dataset"):
            dataset = counts.dataset()
        self._console.print(
            f"{source.uri}: {dataset['rows']:,} rows, {dataset['fraud']:,} frauds, {dataset['rejected']:,} rejected"
        )
        for reason in counts.rejected.most_frequent():
            self._console.print(f"  {reason}", markup=False)
        with self._stages.stage("start_kafka"):
            airflow.wait_for_dags(DAGS)
            # Unpaused now, the daily DAGs finish their scheduled run before they are triggered below.
            for dag in ("compact_lake", "audit_lake"):
                airflow.pause(dag, False)
            airflow.wait("start_kafka", airflow.trigger("start_kafka", {}), 180)
        if unread := counts.unread():
            raise RunFailed(
                f"consumer groups haven't read all records of an earlier run: {unread}. Its customers would get mails"
                " during this run. Type `make clean` to remove these records; or type `make up`, unpause the DAGs"
                f" {', '.join(CONSUMERS)}, and wait until the Kafka UI shows no lag"
            )
        for dag in ("fraud_confirmation", WATCH, RETRY, *CONSUMERS):
            airflow.pause(dag, False)
        conf = {"source": source.uri, "limit": limit, "max_rejected_share": 1, "replay": source.replay}
        streaming = Streaming(self._stages, airflow, counts, mails, self._chromium, dataset)
        streaming.run(conf)
        day = datetime.now(UTC).date().isoformat()
        rows_before = counts.table_rows()
        with self._stages.stage("compact_lake"):
            compaction = airflow.trigger("compact_lake", {"day": day})
            airflow.wait("compact_lake", compaction, 600)
        self._ask(lake)
        with self._stages.stage("audit_lake and count"):
            # The audit fails if more notices were undelivered than this parameter allows.
            known = {"settle_seconds": 5, "max_undelivered_notices": counts.bounced_notices()}
            audit = airflow.trigger("audit_lake", known)
            summary = self._summary(counts, airflow, mails, dataset, compaction, rows_before, audit)
        summary["reminders"]["mails"] = streaming.reminder_mails
        for dag in (WATCH, RETRY):
            airflow.pause(dag, False)
        return summary | {"seconds": self._stages.seconds}

    def _ask(self, lake: Lake) -> None:
        """Queries the compacted lake."""
        with self._stages.stage("lake query"):
            for sql in QUESTIONS:
                self._console.print(f'python -m fraudstream.lake query "{sql}"', markup=False, soft_wrap=True)
                with query(lake, sql) as rows:
                    as_table(rows, self._console.file)

    def _upload(self, store: ObjectStore, path: Path) -> str:
        """Uploads the file to the bucket as a new object; returns its gs:// URI."""
        name = f"dataset/demo-{datetime.now(UTC):%Y%m%dT%H%M%S}-{path.name}"
        store.create(name, path, content_type="application/octet-stream", metadata={})
        return f"gs://{store.bucket}/{name}"

    def _source(self, uri: str) -> Source:
        """Opens the file as a new replay, because it may have been produced before; a file with ids stays as it is."""
        source = open_source(uri, storage.Client())
        return source if Head.of(source).form.restamped else replace(source, replay=uri)

    def _summary(
        self,
        counts: Counts,
        airflow: AirflowApi,
        mails: Mails,
        dataset: dict[str, int],
        compaction: str,
        rows_before: int,
        audit: str,
    ) -> Summary:
        lake, doubled = counts.lake()
        cases_in_lake, mail_log, lake_events = (
            lake[folder] for folder in ("fraud_confirmation", "email_confirmation", "case_event")
        )
        answers, events = counts.answers(), counts.events()
        reminded, escalated = counts.watched_by_airflow()
        opened, resolved, outcomes = counts.cases()
        days = [
            airflow.xcom("compact_lake", compaction, "compact", task["map_index"])
            for task in airflow.tasks("compact_lake", compaction)
            if task["task_id"] == "compact"
        ]
        airflow.wait("audit_lake", audit, 600)
        audited = airflow.xcom("audit_lake", audit, "audit")
        return {
            "dataset": dataset,
            "topics": counts.topics(),
            "lake": {
                "transaction": lake["transaction"].total(),
                "fraud_confirmation": {
                    "pending": _with(cases_in_lake, "PENDING"),
                    "outcome": sum(_with(cases_in_lake, status) for status in STATUSES),
                },
                "email_confirmation": _with(mail_log, "sent"),
            },
            "mail": {"sent": mails.count(), "failed": _with(mail_log, "failed")},
            "cases": {"opened": opened} | {status: outcomes[status] for status in STATUSES},
            "answers": {status: answers.first_of(status) for status in STATUSES},
            "sensors": {"resolved": resolved},
            "bounces": {
                "customers": len(events.bounced),
                "returned_mails": mails.returned(),
                "events": events.by_type[MAIL_BOUNCED],
                "in_the_lake": _with(lake_events, MAIL_BOUNCED),
                "customers_by_the_audit": counts.bounced_by(audited),
            },
            "reminders": {
                "answered": answers.after(events.reminded),
                "events": events.by_type[REMINDED],
                "in_the_lake": _with(lake_events, REMINDED),
                "in_the_mail_log": mail_log["sent", MAIL_RETRY],
                "by_watch_cases": reminded,
            },
            "escalations": {
                "cases": len(events.escalated),
                **{cause: events.causes[cause] for cause in CAUSES},
                "events": events.by_type[ESCALATED],
                "in_the_lake": _with(lake_events, ESCALATED),
                "by_watch_cases": escalated,
            },
            "staff_decisions": {
                "records": answers.decisions.total(),
                "in_the_lake": sum(count for (_, channel), count in cases_in_lake.items() if channel == STAFF),
                "of_escalated_cases": sum(answers.decisions[case] for case in events.escalated),
                "after_another_answer": answers.superseding,
            },
            "compaction": {
                "json_rows": sum(day["json_rows"] for day in days),
                "table_rows": counts.table_rows() - rows_before,
            },
            "audit": {
                "ok": audited["ok"],
                "missing": audited["missing"],
                "duplicated": audited["duplicated"] + doubled,
            },
        }


def _with(rows: Counter[tuple[str, ...]], kind: str) -> int:
    """The number of rows whose first counted column is `kind`."""
    return sum(count for key, count in rows.items() if key[0] == kind)
