"""The demo's play: a file through the DAGs, customers who answer, and the counting of what is there in the end."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fraudstream.dataset.head import Head
from fraudstream.dataset.source import Source, open_source
from fraudstream.lake.query.printing import as_table
from fraudstream.lake.query.query import query
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings
from google.cloud import storage

from local.demo.airflow_api import AirflowApi, RunFailed
from local.demo.counts import Counts
from local.demo.customers import answer_all
from local.demo.mails import Links, Mails
from local.demo.stages import Bars, Stages
from local.demo.summary import Summary
from local.ports import Ports

DAGS = {
    "start_kafka",
    "produce_transactions",
    "consume_non_fraud_transactions",
    "consume_fraud_transactions",
    "consume_fraud_confirmations",
    "consume_case_events",
    "fraud_confirmation",
    "compact_lake",
    "audit_lake",
}
CONSUMERS = sorted(dag for dag in DAGS if dag.startswith("consume_"))
QUESTIONS = (
    "SELECT type, count(*) AS payments, sum(amount) AS total FROM transaction GROUP BY type ORDER BY type",
    "SELECT type, status, count(*) AS cases, sum(amount) AS total FROM fraud_case GROUP BY ALL ORDER BY ALL",
)
STATUSES = ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE")


class Play:
    """One file's way through the running stack."""

    def __init__(self, stages: Stages, chromium: str | None) -> None:
        self._stages = stages
        self._chromium = chromium
        self._console = stages.console

    def run(self, path: Path, limit: int, mails: Mails) -> Summary:
        """Uploads a file and plays its first `limit` rows to the end; returns what is there then."""
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
            # The daily DAGs make their scheduled run now and are free when they are triggered.
            for dag in ("compact_lake", "audit_lake"):
                airflow.pause(dag, False)
            airflow.wait("start_kafka", airflow.trigger("start_kafka", {}), 180)
        if unread := counts.unread():
            raise RunFailed(
                f"consumer groups haven't read what an earlier run left in the topics: {unread}. Its customers would"
                " be mailed among this run's. Type `make clean` to start without it; or `make up`, switch the DAGs"
                f" {', '.join(CONSUMERS)} on, and wait until the Kafka UI shows no lag"
            )
        for dag in ("fraud_confirmation", *CONSUMERS):
            airflow.pause(dag, False)
        conf = {"source": source.uri, "limit": limit, "max_rejected_share": 1, "replay": source.replay}
        self._stream(airflow, counts, mails, dataset, conf)
        day = datetime.now(UTC).date().isoformat()
        rows_before = counts.table_rows()
        with self._stages.stage("compact_lake"):
            compaction = airflow.trigger("compact_lake", {"day": day})
            airflow.wait("compact_lake", compaction, 600)
        self._ask(lake)
        with self._stages.stage("audit_lake and count"):
            audit = airflow.trigger("audit_lake", {"settle_seconds": 5})
            return self._summary(counts, airflow, mails, dataset, compaction, rows_before, audit)

    def _ask(self, lake: Lake) -> None:
        """What the compacted lake answers over its views."""
        with self._stages.stage("lake query"):
            for sql in QUESTIONS:
                self._console.print(f'python -m fraudstream.lake query "{sql}"', markup=False, soft_wrap=True)
                with query(lake, sql) as rows:
                    as_table(rows, self._console.file)

    def _upload(self, store: ObjectStore, path: Path) -> str:
        """Puts the file into the bucket, as a new object."""
        name = f"dataset/demo-{datetime.now(UTC):%Y%m%dT%H%M%S}-{path.name}"
        store.create(name, path, content_type="application/octet-stream", metadata={})
        return f"gs://{store.bucket}/{name}"

    def _source(self, uri: str) -> Source:
        """The file as a replay of its own, as it may have been played before, unless its rows have ids."""
        source = open_source(uri, storage.Client())
        return source if Head.of(source).form.restamped else replace(source, replay=uri)

    def _stream(
        self, airflow: AirflowApi, counts: Counts, mails: Mails, dataset: dict[str, int], conf: dict[str, object]
    ) -> None:
        """Produces, and has everything downstream happen, customers included."""
        good, frauds = dataset["rows"] - dataset["rejected"], dataset["fraud"]
        before = counts.watched()
        time_limit = Settings().confirmation_time_limit_seconds

        def resolved() -> int:
            return airflow.count("fraud_confirmation", "await_confirmation", "success")

        def opened() -> int:
            return airflow.count("fraud_confirmation", "await_confirmation", "deferred", "success")

        opened_before, resolved_before = opened(), resolved()
        run = airflow.trigger("produce_transactions", conf)
        notices: list[Links] = []
        with Bars(self._stages) as bars:
            for name, total in (
                ("produced", good),
                ("in the lake", good + frauds),
                ("mailed", good + frauds),
                ("cases waiting", frauds),
                ("answered", frauds),
            ):
                bars.add(name, total)

            def update() -> None:
                now = counts.watched()
                bars.advance("produced", now.produced - before.produced)
                bars.advance("in the lake", now.lake_rows - before.lake_rows)
                bars.advance("mailed", now.mail_rows - before.mail_rows)
                bars.advance("answered", now.confirmations - before.confirmations)
                bars.advance("cases waiting", opened() - opened_before)

            def until(done: Callable[[], bool], seconds: float, what: str) -> None:
                deadline = time.monotonic() + seconds
                while not done():
                    if time.monotonic() > deadline:
                        raise RunFailed(f"{what}: not done after {seconds:.0f} s; see make status, make logs")
                    if airflow.state("produce_transactions", run) == "failed":
                        raise RunFailed(f"run {run} of produce_transactions failed: see its log in the Airflow UI")
                    update()
                    time.sleep(1)

            def frauds_mailed() -> bool:
                notices.extend(mails.fraud_links())
                return len(notices) >= frauds

            until(frauds_mailed, 300 + good / 300, "mailing the frauds")
            # An answer needs no waiting sensor: on a slow machine customers don't wait for the last one to be there.
            in_time = time.monotonic() + time_limit / 3
            until(lambda: bars.full("cases waiting") or time.monotonic() > in_time, 60 + frauds, "opening the cases")
            silent, said = answer_all(notices, self._chromium)
            self._console.print(f"{frauds - silent} customers answered, {silent} didn't: their time runs out")
            if said:
                self._console.print(f"one of them in {self._chromium}, where the page said: {said}")
            until(lambda: bars.full("answered"), 300 + 2 * frauds, "waiting for the outcomes")
            until(lambda: bars.full("in the lake", "mailed"), 300 + good / 200, "lake and mail")
            until(
                lambda: bars.full("cases waiting") and resolved() - resolved_before >= frauds,
                120 + frauds,
                "resolving sensors",
            )
        airflow.wait("produce_transactions", run, 60)

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
                    "pending": lake["fraud_confirmation"]["PENDING"],
                    "outcome": sum(lake["fraud_confirmation"][status] for status in STATUSES),
                },
                "email_confirmation": lake["email_confirmation"]["sent"],
            },
            "mail": {"sent": mails.count(), "failed": lake["email_confirmation"]["failed"]},
            "cases": {"opened": opened} | {status: outcomes[status] for status in STATUSES},
            "sensors": {"resolved": resolved},
            "compaction": {
                "json_rows": sum(day["json_rows"] for day in days),
                "table_rows": counts.table_rows() - rows_before,
            },
            "audit": {
                "ok": audited["ok"],
                "missing": audited["missing"],
                "duplicated": audited["duplicated"] + doubled,
            },
            "seconds": self._stages.seconds,
        }
