"""Reads what topics, lake, mail log and Airflow have of a file at the end, each row as a reader of the lake sees it.

Compaction moves rows to tables during the round, so the lake is read with the pipeline's own reader of JSON and tables.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from fraudstream.kafka.avro.codec import Codec
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, INGEST_DEAD_LETTER
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.stream.names import FRAUD_CASES, MAILS, TRANSACTIONS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from local import topics
from tests.chaos.airflow_round.tasks import CASES_DAG, DAG_OF, Tasks
from tests.chaos.contents import TOPICS, Content, Row, committed, dead_letters, place_of, row_of, rows_in, rows_of
from tests.chaos.poison import Place
from tests.chaos.verdict import Check, each_once

_ROW = ["topic", "partition", "offset", "idTransaction", "type", "amount", "nameOrig", "nameDest"]
_OUTCOME = ["topic", "partition", "offset", "idTransaction", "status"]


class Outcome(NamedTuple):
    """The answer of a case."""

    id_transaction: str
    status: str


class Outcomes(NamedTuple):
    """The first answer of each case, in the topic and in the lake."""

    topic: list[tuple[Place, Outcome]]
    lake: list[tuple[Place, Outcome]]


def read(settings: Settings, file: Path, prefix: str, tasks: Tasks) -> tuple[Content, Outcomes]:
    """Reads everything; `prefix` is the start of the ids of the file's rows."""
    rows, rejected = rows_of(file, prefix)
    lake = Lake.connect(settings)
    of_transactions = _rows(lake, TRANSACTIONS, _ROW, prefix)
    of_cases = [line for line in _rows(lake, FRAUD_CASES, _ROW, prefix) if line["topic"] == FRAUD_TRANSACTION]
    content = Content(
        rows,
        rejected,
        [record for topic in TOPICS for record in rows_in(settings, topic) if _is_of(prefix, record[1].id_transaction)],
        [(place_of(line), row_of(line["topic"], line)) for line in [*of_transactions, *of_cases]],
        list(_rows(lake, MAILS, None, prefix)),
        [(run, found) for run, cases in _runs(tasks) if (found := [case for case in cases if _is_of(prefix, case)])],
        [letter for topic in DAG_OF for letter in dead_letters(settings, topic)],
        [int(dict(m.headers() or [])["line"]) for m in committed(settings, INGEST_DEAD_LETTER)],
    )
    in_lake = [
        (place_of(line), Outcome(line["idTransaction"], line["status"]))
        for line in _rows(lake, FRAUD_CASES, _OUTCOME, prefix)
        if line["topic"] == FRAUD_CONFIRMATION
    ]
    return content, Outcomes(list(_first_answers(settings, prefix)), in_lake)


def with_receipts(content: Content, outcomes: Outcomes) -> Content:
    """The mails that are expected: of the transactions, and receipts of their cases' outcomes."""
    receipts = [(place, Row(place[0], of.id_transaction, "", 0, "", "")) for place, of in outcomes.topic]  # type: ignore[arg-type]
    return content._replace(topics=[*content.topics, *receipts])


def check_outcomes(content: Content, outcomes: Outcomes) -> Check:
    """Checks that every fraud has an outcome, and that the lake has the first one exactly once."""
    frauds = [row.id_transaction for row in content.rows if row.topic == FRAUD_TRANSACTION]
    problems = each_once("outcomes", frauds, (of.id_transaction for _, of in outcomes.topic))
    problems += each_once("outcomes in the lake", outcomes.topic, outcomes.lake)
    counted = f"{len(frauds):,} frauds, {len(outcomes.topic):,} first answers, {len(outcomes.lake):,} lines in the lake"
    return Check("every case has one outcome", counted, problems)


def _is_of(prefix: str, id_transaction: str) -> bool:
    return id_transaction.startswith(f"{prefix}-")


def _rows(lake: Lake, folder: str, columns: list[str] | None, prefix: str) -> Iterator[dict[str, Any]]:
    for table in read_rows(lake, folder, columns):
        yield from (line for line in table.to_pylist() if _is_of(prefix, line["idTransaction"]))


def _runs(tasks: Tasks) -> Iterable[tuple[str, list[str]]]:
    for run in tasks.ask(lambda: list(tasks.airflow.runs(CASES_DAG))):
        yield run["dag_run_id"], [case["idTransaction"] for case in run["conf"]["cases"]]


def _first_answers(settings: Settings, prefix: str) -> Iterator[tuple[Place, Outcome]]:
    """The first answer of each case, by append time, then partition, then offset."""
    with topics.reader(settings) as reader:
        messages = list(topics.records(reader, settings, FRAUD_CONFIRMATION))
    decoded = Codec.for_topic(FRAUD_CONFIRMATION, settings).decode_messages(messages)
    first: dict[str, tuple[tuple[datetime, int, int], str]] = {}
    for message, record in zip(decoded.valid, decoded.records, strict=True):
        case = record["idTransaction"]
        at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC), message.partition(), message.offset()
        if _is_of(prefix, case) and (case not in first or at < first[case][0]):
            first[case] = at, record["status"]
    for case, ((_, partition, offset), status) in first.items():
        yield (FRAUD_CONFIRMATION, partition, offset), Outcome(case, status)
