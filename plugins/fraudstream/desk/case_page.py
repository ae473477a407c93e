"""Looks up in the lake what the index doesn't have for the page of a case: time line and customer's payments."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from fraudstream import money
from fraudstream.desk.case_index import KnownCase
from fraudstream.desk.facts import Facts, Place, find_run, has_mails_of
from fraudstream.desk.timeline import Timeline
from fraudstream.desk.topic_search import Hit, partition_of
from fraudstream.desk.trace import timeline
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    NON_FRAUD_TRANSACTION,
    Partition,
)
from fraudstream.lake.query.lookup import look_up
from fraudstream.lake.stream.lines import MONEY
from fraudstream.lake.stream.names import FRAUD_CASES, MAILS, TRANSACTIONS
from fraudstream.lake.table.lake import Lake

#: Number of the customer's payments that are shown: the latest ones.
PAYMENTS = 10


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment of the customer; the amount as Decimal."""

    id: str
    at: datetime
    type: str
    amount: Decimal
    to: str
    is_fraud: bool


@dataclass(frozen=True, slots=True)
class CasePage:
    """Time line, payments, and the id of the DAG run that the case is in; None: no claim has the case."""

    line: Timeline
    payments: list[Payment]
    run_id: str | None


def case_page(lake: Lake, known: KnownCase, partitions: int) -> CasePage:
    """Looks a case up in the lake.

    :param partitions: number of partitions of topic non_fraud_transaction; a customer's payments are all in one of them
    :raises LakeError: the lake can't be read
    """
    facts = facts_of(lake, known)
    run_id = facts.opened.run_id if facts.opened else None
    return CasePage(timeline(facts), payments_of(lake, known.queued.customer, partitions), run_id)


def facts_of(lake: Lake, known: KnownCase) -> Facts:
    """Returns what :func:`fraudstream.desk.facts.gather` finds, with the index instead of a search of the topics."""
    case, day = known.queued.id, known.came_at.date()
    facts = Facts(case, Place(known.place, known.offset, known.came_at), _payment(known.history.transaction))
    for found in look_up(lake, FRAUD_CASES, "idTransaction", case, first=day):
        if found.row["topic"] == FRAUD_TRANSACTION:
            facts.row = facts.row or found
        else:
            facts.outcomes.append(found)
    facts.mails = look_up(
        lake, MAILS, "idTransaction", case, first=day, objects_of=lambda partition: has_mails_of(partition, case=True)
    )
    facts.answers = [
        Hit(FRAUD_CONFIRMATION, answer.partition, answer.offset, answer.answered_at, answer.record)
        for answer in known.history.answers
    ]
    facts.events = [
        Hit(CASE_EVENT, placed.partition, placed.offset, event.at, event.record())
        for event, placed in zip(known.history.events, known.event_places, strict=True)
    ]
    facts.opened = find_run(lake.store, Place(known.place, known.offset, known.came_at), case)
    return facts


def payments_of(lake: Lake, customer: str, partitions: int) -> list[Payment]:
    """Returns the customer's latest payments, the latest first."""
    number = partition_of(customer.encode(), partitions)

    def may_have(partition: Partition) -> bool:
        return partition.topic != NON_FRAUD_TRANSACTION or partition.number == number

    found = [
        row.row
        for folder in (TRANSACTIONS, FRAUD_CASES)
        for row in look_up(lake, folder, "nameOrig", customer, objects_of=may_have)
        if row.row["topic"] != FRAUD_CONFIRMATION
    ]
    found.sort(key=lambda row: (row["timestamp"], row["recordTimestamp"]), reverse=True)
    return [
        Payment(
            row["idTransaction"], row["timestamp"], row["type"], row["amount"], row["nameDest"], bool(row["isFraud"])
        )
        for row in found[:PAYMENTS]
    ]


def _payment(transaction: dict[str, Any]) -> dict[str, Any]:
    return transaction | {name: Decimal(money.to_text(transaction[name])) for name in MONEY}
