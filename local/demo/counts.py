"""Counts records of the topics, rows of the lake, and runs and XComs of Airflow, each at its source."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import pyarrow.compute as pc
from confluent_kafka import Message, TopicPartition
from fraudstream.cases.undelivered import read_undelivered
from fraudstream.dataset.reader import Position, read_chunks
from fraudstream.dataset.source.source import Source
from fraudstream.dataset.tally import Tally
from fraudstream.kafka.dead_letters.letters import read_dead_letters
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_DEAD_LETTER,
    MAIL_RETRY,
    NON_FRAUD_TRANSACTION,
)
from fraudstream.lake.query.view import open_view, read_rows, table_days
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.stream.totals import rows_of
from fraudstream.lake.table.lake import Lake
from fraudstream.mail.customers.customer import Customer
from fraudstream.mail.customers.sources import customers
from fraudstream.settings import Settings

from local import topics
from local.demo.airflow_api import AirflowApi
from local.demo.follow_ups import Answers, Events, answers_of, events_of

TOPICS = (NON_FRAUD_TRANSACTION, FRAUD_TRANSACTION, FRAUD_CONFIRMATION)
#: For each folder: the columns to group the counts by, and further columns that distinguish two rows of a transaction.
_COUNTED: dict[str, tuple[list[str], list[str]]] = {
    "transaction": ([], []),
    "fraud_confirmation": (["status", "channel"], []),
    "email_confirmation": (["status", "topic"], ["messageId"]),
    "case_event": (["eventType"], ["partition", "offset"]),
}


@dataclass(frozen=True)
class Watched:
    """Cheap counts for the progress bars, which show each count minus its value at the start."""

    produced: int
    confirmations: int
    retries: int
    events: int
    lake_rows: int
    mail_rows: int
    event_rows: int


class Counts:
    """Counts records and rows that belong to the first `limit` rows of one source file, by their idTransaction."""

    def __init__(self, settings: Settings, lake: Lake, airflow: AirflowApi, source: Source, limit: int) -> None:
        self._settings = settings
        self._lake = lake
        self._airflow = airflow
        self._source = source
        self._limit = limit
        self._ids: set[str] = set()
        #: The file's rejected rows by reason; filled by :meth:`dataset`.
        self.rejected = Tally()
        self._dead_before = self._bounced_before = 0
        #: Addresses of the frauds' customers, in the file's order; filled by :meth:`dataset`.
        self.fraud_addresses: list[str] = []
        self._began = datetime.now(UTC)
        self._consumer = topics.reader(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def dataset(self) -> dict[str, int]:
        """Counts rows, frauds and rejected rows of the file. Call it first: the other counts need the ids it collects.

        It also counts the dead letters and returned notices of earlier runs, so that they can be subtracted.
        """
        self._dead_before = self._dead()
        self._bounced_before = self.bounced_notices()
        of_frauds = customers(self._settings)
        fraud = rejected = 0
        start_date = self._settings.dataset_start_date
        for chunk in read_chunks(self._source, Position(0, 0), start_date=start_date):
            rows = chunk.rows.slice(0, int((chunk.row_numbers < self._limit).sum()))
            self._ids.update(rows.column("idTransaction").to_pylist())
            frauds = rows.filter(pc.equal(rows.column("isFraud"), 1)).to_pylist()
            fraud += len(frauds)
            found = of_frauds.of(frauds)
            self.fraud_addresses += [customer.address for customer in found if isinstance(customer, Customer)]
            bad = [row for row in chunk.rejected if row.row < self._limit]
            rejected += len(bad)
            self.rejected.add(bad)
            if chunk.position.row >= self._limit:
                break
        return {"rows": len(self._ids) + rejected, "fraud": fraud, "rejected": rejected}

    def table_rows(self) -> int:
        """The number of rows of all Iceberg tables, by pyiceberg's scans."""
        tables = [self._lake.tables.load(folder) for folder in FOLDERS]
        return sum(table.scan().count() for table in tables if table is not None)

    def unread(self) -> dict[str, int]:
        """The number of unread records by consumer group, without groups that have none."""
        found = {}
        for topic in TOPICS:
            for role in ("write_lake", "send_mail"):
                read = topics.committed(self._settings, group := f"{role}-{topic}", topic)
                found[group] = sum(1 for _ in topics.records(self._consumer, self._settings, topic, read))
        return {group: records for group, records in found.items() if records}

    def watched(self) -> Watched:
        """Counts from partitions' end offsets and from row counts in objects' metadata; reads no records or rows."""
        ends = {topic: self._ends(topic) for topic in (*TOPICS, MAIL_RETRY, CASE_EVENT)}
        rows = {folder: self._rows(folder) for folder in FOLDERS}
        return Watched(
            ends[NON_FRAUD_TRANSACTION] + ends[FRAUD_TRANSACTION],
            ends[FRAUD_CONFIRMATION],
            ends[MAIL_RETRY],
            ends[CASE_EVENT],
            rows["transaction"] + rows["fraud_confirmation"],
            rows["email_confirmation"],
            rows["case_event"],
        )

    def topics(self) -> dict[str, int]:
        """The number of records of each topic, and of dead letters."""
        found = {}
        for topic in TOPICS:
            found[topic] = sum(map(self._ours, self._ids_of(topic)))
        rejected = topics.records(self._consumer, self._settings, INGEST_DEAD_LETTER)
        dead = sum(map(self._of_source, rejected))
        return found | {"dead_letter": dead + self._dead() - self._dead_before}

    def lake(self) -> tuple[dict[str, Counter[tuple[str, ...]]], int]:
        """The number of rows of each folder, grouped by its columns in `_COUNTED`, and the number of duplicates."""
        found: dict[str, Counter[tuple[str, ...]]] = {}
        doubled = 0
        for folder in FOLDERS:
            kinds, others = _COUNTED[folder]
            wanted = list(dict.fromkeys(["idTransaction", *kinds, *others, "topic"]))
            rows: Counter[tuple[str, ...]] = Counter()
            for table in read_rows(self._lake, folder, wanted):
                rows.update(zip(*(table.column(name).to_pylist() for name in wanted), strict=True))
            ours = {row: times for row, times in rows.items() if self._ours(row[0])}
            doubled += sum(times - 1 for times in ours.values())
            found[folder] = Counter()
            for row, times in ours.items():
                found[folder][row[1 : 1 + len(kinds)]] += times
        return found, doubled

    def answers(self) -> Answers:
        """The answers in topic fraud_confirmation."""
        return answers_of(self._records(FRAUD_CONFIRMATION, "status", "answeredAt", "channel"))

    def events(self) -> Events:
        """The events in topic case_event."""
        return events_of(self._records(CASE_EVENT, "eventType", "at", "details"))

    def bounced_notices(self) -> int:
        """The number of cases, of all files, whose notice was last returned and not sent again, as the audit counts."""
        return read_undelivered(self._settings).counts()["bounced"]

    def bounced_by(self, audited: dict[str, Any]) -> int:
        """The number of returned notices that an audit counted, without those of earlier runs."""
        return int(audited["undelivered_notices"]["bounced"]) - self._bounced_before

    def watched_by_airflow(self) -> tuple[int, int]:
        """The numbers of reminders and escalations that the successful runs of watch_cases returned since the start."""
        found = [
            self._airflow.xcom("watch_cases", run["dag_run_id"], "remind_and_escalate")
            for run in self._airflow.runs("watch_cases")
            if run["state"] == "success" and datetime.fromisoformat(run["start_date"]) > self._began
        ]
        return sum(one["reminded"] for one in found), sum(sum(one["escalated"].values()) for one in found)

    def cases(self) -> tuple[int, int, Counter[str]]:
        """Counts cases in the conf of the DAG runs, sensors that succeeded, and, by status, the outcomes in XComs."""
        opened = resolved = 0
        outcomes: Counter[str] = Counter()
        for run in self._airflow.runs("fraud_confirmation"):
            cases = (run["conf"] or {}).get("cases", [])
            ours = {number for number, case in enumerate(cases) if self._ours(case["idTransaction"])}
            opened += len(ours)
            for task in self._airflow.tasks("fraud_confirmation", run["dag_run_id"]) if ours else ():
                if task["task_id"] != "await_confirmation" or task["map_index"] not in ours:
                    continue
                if task["state"] == "success":
                    resolved += 1
                    xcom = self._airflow.xcom(
                        "fraud_confirmation", run["dag_run_id"], "await_confirmation", task["map_index"]
                    )
                    outcomes[xcom["status"]] += 1
        return opened, resolved, outcomes

    def _rows(self, folder: str) -> int:
        """The number of rows of a folder, from the metadata of its objects and data files."""
        with open_view(self._lake, folder, copy=False) as view:
            return sum(rows_of(info.metadata) for info in view.json) + sum(
                day.rows for day in table_days(view).values()
            )

    def _records(self, topic: str, *columns: str) -> Iterator[dict[str, Any]]:
        """The records of this file's transactions with these columns, in log order for each case."""
        for rows, _ in topics.decoded(self._consumer, self._settings, topic):
            yield from (
                row for row in rows.select(["idTransaction", *columns]).to_pylist() if self._ours(row["idTransaction"])
            )

    def _ids_of(self, topic: str) -> Iterator[str]:
        """The idTransaction of each record that can be decoded. The other records are dead letters."""
        for rows, _ in topics.decoded(self._consumer, self._settings, topic):
            yield from rows.column("idTransaction").to_pylist()

    def _dead(self) -> int:
        """The number of dead letters of the topics, from this file or any other."""
        return sum(len(read_dead_letters(self._settings, topic)) for topic in TOPICS)

    def _ours(self, id_transaction: str) -> bool:
        return id_transaction in self._ids

    def _of_source(self, message: Message) -> bool:
        return dict(message.headers() or []).get("source") == self._source.uri.encode()

    def _ends(self, topic: str) -> int:
        places = [TopicPartition(topic, number) for number in topics.partitions(self._consumer, topic)]
        return sum(int(self._consumer.get_watermark_offsets(place, timeout=30)[1]) for place in places)
