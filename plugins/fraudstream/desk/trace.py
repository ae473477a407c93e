"""The time line of one transaction, from its row in a file to its row in a table."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fraudstream import money
from fraudstream.cases.answers.staff import counting
from fraudstream.cases.claims import Case
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.events import NOTICE_ACCEPTED, masked
from fraudstream.desk.facts import Facts, gather
from fraudstream.desk.timeline import Timeline
from fraudstream.desk.topic_search import Hit
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.lake.query.lookup import Found
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

#: The text of each outcome, for people.
OUTCOMES = {
    "REPORTED_FRAUD": "fraud",
    "REPORTED_NOT_FRAUD": "not fraud",
    "NO_RESPONSE": "no response, the time was up",
}
_KINDS = {"notice": "notice", "fraud_notice": "fraud notice", "receipt": "receipt"}


def trace(settings: Settings, lake: Lake, id_transaction: str, *, whole: bool = False) -> Timeline:
    """Looks a transaction up and returns its time line.

    :param whole: see :func:`~fraudstream.desk.facts.gather`
    :raises KafkaError, LakeError: topics or lake can't be read
    """
    return timeline(gather(settings, lake, id_transaction, whole=whole))


def timeline(facts: Facts) -> Timeline:
    """Returns the time line of the facts."""
    line = Timeline(facts.id_transaction, searched=facts.searched)
    if facts.place is None:
        line.miss("record", _hints(facts))
        return line
    dag = "consume_fraud_transactions" if facts.is_fraud else "consume_non_fraud_transactions"
    _file_row(line, facts)
    line.add(
        "record", f"{'fraud' if facts.is_fraud else 'transaction'}{_payment(facts)}", facts.place.at, str(facts.place)
    )
    if facts.row is not None:
        line.add(
            "lake row", "the transaction" + (", PENDING" if facts.is_fraud else ""), facts.place.at, facts.row.place
        )
    else:
        line.miss("lake row", f"task write_lake of the DAG {dag}; `python -m fraudstream.lake audit` compares both")
    _mails(line, facts, dag)
    if facts.is_fraud:
        _case(line, facts)
    return line


def _hints(facts: Facts) -> str:
    """Returns where to look for a transaction that is neither in the lake nor on the topics."""
    prefix, _, number = facts.id_transaction.rpartition("-")
    if facts.source:
        look = (
            f"row {int(number):,} of the file {facts.source} was rejected (`python -m fraudstream.kafka dead-letters"
            " ls`), is still to be produced (DAG produce_transactions), or is not in the file"
        )
    else:
        look = f"check the id: topic ingest_progress knows no file {prefix or facts.id_transaction}"
    return look if facts.whole else f"{look}. To search for a record that the lake lost: `trace --whole`"


def _payment(facts: Facts) -> str:
    row = facts.payment
    return f", {row['type']} of {row['amount']:,} from {row['nameOrig']} to {row['nameDest']}"


def _file_row(line: Timeline, facts: Facts) -> None:
    prefix, _, number = facts.id_transaction.rpartition("-")
    if facts.source is not None and number.isdecimal():
        line.add("file row", f"row {int(number):,} of the file {prefix}", place=facts.source)
    else:
        line.miss(
            "file row", "topic ingest_progress knows no file of this id: the id is the file's own, or it is older"
        )


def _mails(line: Timeline, facts: Facts, dag: str) -> None:
    for mail in facts.mails:
        line.add("mail", mail_text(mail.row), mail.row["finishedAt"] or mail.row["recordTimestamp"], mail.place)
    first = [mail for mail in facts.mails if mail.row["kind"] != "receipt"]
    if not first:
        line.miss("mail", f"task send_mail of the DAG {dag}: it has not reached the record yet, or it fails")
    elif all(mail.row["status"] == "deferred" for mail in first):
        line.miss("accepted mail", "the DAG retry_mails tries it again; its mails are on topic mail_retry")


def mail_text(row: Mapping[str, Any]) -> str:
    """Returns a row of the mail log as text for people."""
    reply = f": {row['reply']}" if row["reply"] else ""
    return f"{_KINDS.get(row['kind'], row['kind'])} to {masked(row['recipient'])} {row['status']}{reply}"


def _case(line: Timeline, facts: Facts) -> None:
    opened = facts.opened
    until = None
    if opened is None:
        line.miss("case", "task open_cases of the DAG consume_fraud_transactions opens it")
    else:
        until = _deadline(opened.case, facts.events)
        at = datetime.fromisoformat(opened.case["openedAt"])
        line.add("case", f"waits until {until:%Y-%m-%d %H:%M:%S} UTC", at, f"run {opened.run_id} of fraud_confirmation")
    for event in facts.events:
        line.add("event", event_text(event.record), event.record["at"], event.place)
    counts = counting(answer.record.get("channel") for answer in facts.answers)
    for number, answer in enumerate(facts.answers):
        line.add(
            "answer", answer_text(answer.record, counts=number == counts), answer.record["answeredAt"], answer.place
        )
    _outcome(line, facts, until, None if counts is None else facts.answers[counts])


def _deadline(case: Case, events: Sequence[Hit]) -> datetime:
    """Returns until when a case waits, by the time limit that it was opened with."""
    first_limit = datetime.fromisoformat(case["expiresAt"])
    accepted = (event.record["at"] for event in events if event.record["eventType"] == NOTICE_ACCEPTED)
    return deadline(first_limit, next(accepted, None), first_limit - datetime.fromisoformat(case["openedAt"]))


def _outcome(line: Timeline, facts: Facts, until: datetime | None, outcome: Hit | None) -> None:
    receipts = [mail for mail in facts.mails if mail.row["kind"] == "receipt"]
    for row in facts.outcomes:
        line.add("lake row", f"the outcome, {row.row['status']}", row.row["recordTimestamp"], row.place)
    if not facts.answers and not facts.outcomes:
        if until is None or until > datetime.now(UTC):
            line.miss("answer", "the customer has not answered; the sensor of the DAG fraud_confirmation waits")
        else:
            line.miss("answer", "the time is up: the DAG close_expired_cases gives the case its outcome")
    elif outcome is not None and not _is_in_lake(outcome, facts.outcomes):
        line.miss("lake row of the outcome", "task write_lake of the DAG consume_fraud_confirmations")
    elif not receipts:
        line.miss("receipt", "task send_mail of the DAG consume_fraud_confirmations")


def _is_in_lake(answer: Hit, rows: list[Found]) -> bool:
    return any(row.record == (FRAUD_CONFIRMATION, answer.partition, answer.offset) for row in rows)


def event_text(record: Mapping[str, Any]) -> str:
    """Returns a case's event as text for people."""
    reason = f": {record['reason']}" if record["reason"] else ""
    recipient = f", mail to {record['recipient']}" if record["recipient"] else ""
    return f"{record['eventType']} by {record['by']}{recipient}{reason}"


def answer_text(record: Mapping[str, Any], *, counts: bool) -> str:
    """Returns an answer as text for people; `counts`: whether it is the case's outcome."""
    by = f", decided by {record['decidedBy']}" if record.get("decidedBy") else ""
    reason = f": {record['reason']}" if record.get("reason") else ""
    if not counts:
        return f"{OUTCOMES[record['status']]}{by}{reason}; another answer counts"
    refund = f"; {money.shown(record['amount'])} to be refunded" if record["status"] == "REPORTED_FRAUD" else ""
    return f"{OUTCOMES[record['status']]}{by}{reason}{refund}"
