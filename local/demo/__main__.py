"""``make demo``: starts what isn't running, plays a file through the pipeline and the customers' part, counts all.

Writes var/demo/summary.json; exit code 0 only if every count agrees. On a terminal it stays up until Ctrl-C,
elsewhere it takes down what it started.
"""

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fraudstream.dataset.generator import plan, write_file
from fraudstream.dataset.source import open_source
from fraudstream.errors import FraudstreamError
from fraudstream.lake.store import Store
from fraudstream.settings import Settings
from google.cloud import storage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from local import show
from local.control import Control
from local.demo.airflow_api import AirflowApi, RunFailed
from local.demo.counts import Counts
from local.demo.customers import HABITS, Inbox, answer_all
from local.demo.summary import Summary, disagreements, table
from local.environment import LOGS, STACK, VAR, airflow_login, stack_environment
from local.parts import stack_parts
from local.ports import Ports

DAGS = {
    "start_kafka",
    "produce_transactions",
    "consume_non_fraud_transactions",
    "consume_fraud_transactions",
    "consume_fraud_confirmations",
    "fraud_confirmation",
    "compact_lake",
    "audit_lake",
}
CONSUMERS = sorted(dag for dag in DAGS if dag.startswith("consume_"))
FRAUDS_PER_ROW = 1 / 500
STATUSES = ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE")
_TIME_LIMIT = "FRAUDSTREAM_CONFIRMATION_TIME_LIMIT_SECONDS"


def main() -> int:
    """Exit code: 0 when every count agrees."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--rows", type=int, help="rows to generate, or to take of the dataset")
    parser.add_argument("--dataset", type=Path, help="a PaySim file of your own, in any known form")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        return Demo(console).run(options.dataset, options.rows)
    except FraudstreamError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


class Demo:
    """One run, from file to summary."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._control = Control(STACK, LOGS)
        self._seconds: dict[str, float] = {}

    def run(self, dataset: Path | None, rows: int | None) -> int:
        """The whole demo; returns the exit code."""
        with self._stage("dataset"):
            path, limit = self._dataset(dataset, rows)
        # How many customers have to be waited for decides how long a case may wait.
        frauds = max(10, int(limit * FRAUDS_PER_ROW))
        with self._stage("stack"):
            started = self._start(max(75, 45 + frauds))
        try:
            summary = self._play(path, limit)
            wrong = self._report(summary)
            if sys.stdout.isatty() and started:
                self._console.print("\nThe stack stays up until Ctrl-C.")
                with _until_interrupted():
                    time.sleep(1e9)
        finally:
            if started:
                self._console.print(f"{self._control.down()} parts stopped")
        return 1 if wrong else 0

    def _dataset(self, dataset: Path | None, rows: int | None) -> tuple[Path, int]:
        """The file to play, and how many of its rows."""
        if dataset is not None:
            if not dataset.is_file():
                raise FraudstreamError(f"DATASET={dataset}: there is no such file")
            return dataset, rows or _lines(dataset)
        rows = rows or 20_000
        path = VAR / "demo" / f"paysim-{rows}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, plan(rows, max(2, int(rows * FRAUDS_PER_ROW))), 1, lambda _: None)
        return path, rows

    def _start(self, time_limit: int) -> bool:
        """Starts the stack, or what is missing of it; True where this call started it."""
        os.environ.setdefault(_TIME_LIMIT, str(time_limit))
        os.environ.setdefault("FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE", "100000")  # one machine, all customers
        parts = stack_parts(lambda what: self._console.print(f"downloading {what}"))
        running = bool(self._control.status())
        if running and self._control.environment("confirmation").get(_TIME_LIMIT) != os.environ[_TIME_LIMIT]:
            self._console.print("the running stack gives customers another time limit: starting it anew")
            self._control.down()
        with show.Progress(self._console) as progress:
            self._control.up(parts, progress.update)
        os.environ.update(stack_environment())
        return not running

    def _play(self, path: Path, limit: int) -> Summary:
        ports = Ports.from_environment()
        settings = Settings()
        store = Store.connect(settings.lake_bucket)
        uri = self._upload(store, path)
        with (
            AirflowApi(ports.url("airflow")) as airflow,
            Inbox(ports.url("inbox")) as inbox,
            Counts(settings, store, airflow, open_source(uri, storage.Client()), limit) as counts,
        ):
            return self._stages(airflow, inbox, counts, uri, limit)

    def _stages(self, airflow: AirflowApi, inbox: Inbox, counts: Counts, uri: str, limit: int) -> Summary:
        with self._stage("count dataset"):
            dataset = counts.dataset()
        self._console.print(
            f"{uri}: {dataset['rows']:,} rows, {dataset['fraud']:,} frauds, {dataset['rejected']:,} rejected"
        )
        with self._stage("start_kafka"):
            airflow.wait_for_dags(DAGS)
            airflow.wait("start_kafka", airflow.trigger("start_kafka", {}), 180)
        for dag in ("fraud_confirmation", *CONSUMERS):
            airflow.pause(dag, False)
        self._stream(airflow, counts, inbox, dataset, {"source": uri, "limit": limit, "max_rejected_share": 1})
        day = datetime.now(UTC).date().isoformat()
        with self._stage("compact_lake"):
            compaction = airflow.trigger("compact_lake", {"day": day})
            airflow.wait("compact_lake", compaction, 600)
        with self._stage("audit_lake"):
            audit = airflow.trigger("audit_lake", {"settle_seconds": 5})
            airflow.wait("audit_lake", audit, 600)
        with self._stage("count"):
            return self._summary(counts, airflow, inbox, dataset, compaction, audit)

    def _upload(self, store: Store, path: Path) -> str:
        """Puts the file into the bucket as a new object: what was played before stays another file."""
        name = f"dataset/demo-{datetime.now(UTC):%Y%m%dT%H%M%S}-{path.name}"
        store.create(name, path, content_type="application/octet-stream", metadata={})
        return f"gs://{store.bucket}/{name}"

    def _stream(
        self, airflow: AirflowApi, counts: Counts, inbox: Inbox, dataset: dict[str, int], conf: dict[str, object]
    ) -> None:
        """Produces, and has everything downstream happen, customers included."""
        good, frauds = dataset["rows"] - dataset["rejected"], dataset["fraud"]
        before = counts.watched()
        open_before = airflow.count("fraud_confirmation", "deferred")
        run = airflow.trigger("produce_transactions", conf)
        mails: list[dict[str, str]] = []
        known: set[int] = set()
        with self._bars() as bars:
            produced = bars.add_task("produced", total=good)
            lake = bars.add_task("in the lake", total=good + frauds)
            mailed = bars.add_task("mailed", total=good + frauds)
            waiting = bars.add_task("cases waiting", total=frauds)
            answered = bars.add_task("answered", total=frauds)
            started = time.monotonic()

            def update() -> None:
                now = counts.watched()
                self._advance(bars, produced, now.produced - before.produced, started)
                self._advance(bars, lake, now.lake_rows - before.lake_rows, started)
                self._advance(bars, mailed, now.mail_rows - before.mail_rows, started)
                self._advance(bars, answered, now.confirmations - before.confirmations, started)
                deferred = airflow.count("fraud_confirmation", "deferred") - open_before
                self._advance(bars, waiting, max(deferred, int(bars.tasks[waiting].completed)), started)

            def until(done: Callable[[], bool], seconds: float, what: str) -> None:
                deadline = time.monotonic() + seconds
                while not done():
                    if time.monotonic() > deadline:
                        raise RunFailed(
                            f"{what} isn't done after {seconds:.0f} s; `make logs` shows the ends of all logs"
                        )
                    if airflow.state("produce_transactions", run) == "failed":
                        raise RunFailed(f"run {run} of produce_transactions failed: see its log in the Airflow UI")
                    update()
                    time.sleep(1)

            def all_mailed() -> bool:
                mails.extend(inbox.fraud_links(known))
                return len(mails) >= frauds

            until(all_mailed, 300 + good / 300, "mailing the frauds")
            until(lambda: bars.tasks[waiting].finished, 60 + frauds, "opening the cases")
            answer_all(mails, lambda: None)
            silent = sum(not HABITS[number % len(HABITS)] for number in range(frauds))
            self._console.print(f"{frauds - silent} customers answered, {silent} didn't: their time runs out")
            until(lambda: bars.tasks[answered].finished, 300 + 2 * frauds, "waiting for the outcomes")
            until(lambda: all(bars.tasks[task].finished for task in (lake, mailed)), 300 + good / 200, "lake and mail")
            until(
                lambda: airflow.count("fraud_confirmation", "deferred") <= open_before,
                120 + frauds,
                "resolving the sensors",
            )
        airflow.wait("produce_transactions", run, 60)

    def _advance(self, bars: Progress, task: TaskID, completed: int, started: float) -> None:
        """Moves a bar, and notes when it was full."""
        was_full = bars.tasks[task].finished
        # A few offsets are transaction markers: a bar is never more than full.
        bars.update(task, completed=min(completed, int(bars.tasks[task].total or 0)))
        if bars.tasks[task].finished and not was_full:
            name = bars.tasks[task].description
            self._seconds[name] = round(time.monotonic() - started, 1)
            if not self._console.is_terminal:
                self._console.print(f"{name:<24} {bars.tasks[task].completed:>9,.0f} {self._seconds[name]:6.1f} s")

    def _summary(
        self, counts: Counts, airflow: AirflowApi, inbox: Inbox, dataset: dict[str, int], compaction: str, audit: str
    ) -> Summary:
        lake, doubled = counts.lake()
        opened, resolved, outcomes = counts.cases()
        days = [
            airflow.xcom("compact_lake", compaction, "compact", task["map_index"])
            for task in airflow.tasks("compact_lake", compaction)
            if task["task_id"] == "compact"
        ]
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
            "mail": {"sent": inbox.count(), "failed": lake["email_confirmation"]["failed"]},
            "cases": {"opened": opened} | {status: outcomes[status] for status in STATUSES},
            "sensors": {"resolved": resolved},
            "compaction": {
                "json_rows": sum(day["json_rows"] for day in days),
                "parquet_rows": sum(day["parquet_rows"] for day in days),
            },
            "audit": {
                "ok": audited["ok"],
                "missing": audited["missing"],
                "duplicated": audited["duplicated"] + doubled,
            },
            "seconds": self._seconds,
        }

    def _report(self, summary: Summary) -> list[str]:
        path = VAR / "demo" / "summary.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(summary, indent=2) + "\n")
        self._console.print()
        self._console.print(table(summary))
        wrong = disagreements(summary)
        for sentence in wrong:
            self._console.print(f"doesn't agree: {sentence}", style="red")
        if not wrong:
            self._console.print("every count agrees", style="green")
        user, password = airflow_login()
        self._console.print(show.addresses(self._control.status()))
        self._console.print(f"Airflow login: {user} / {password}")
        memory = sum(self._control.memory().values())
        self._console.print(
            f"memory of the stack (PSS): {memory / 2**20:,.0f} MiB; summary: {path.relative_to(VAR.parent)}"
        )
        return wrong

    def _bars(self) -> Progress:
        return Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._seconds[name] = round(time.monotonic() - started, 1)
        if name != "dataset":
            self._console.print(f"{name:<24} {'done':>9} {self._seconds[name]:6.1f} s")


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return


def _lines(path: Path) -> int:
    """Data rows of a file: its lines but the header."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if zipped else path.open("rb") as file:
        return sum(1 for _ in file) - 1


if __name__ == "__main__":
    sys.exit(main())
