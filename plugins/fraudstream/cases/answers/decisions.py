"""Staff decisions: a person of the bank answers for a customer who called, or corrects an earlier answer.

A decision is a record of fraud_confirmation with channel STAFF, the person's name and reason. The sensor of a case
that has no answer yet ends with it; that of one which has keeps the first answer as its XCom. What the decision
supersedes stays in the topic and in the lake. See :mod:`fraudstream.cases.answers.staff` for the rule.

From the setting's amount on, a decision takes two people (:func:`needs_second_person`), on every channel: one requests
it and another one confirms it. Events DECISION_REQUESTED and DECISION_CONFIRMED on case_event, and between them the
decision, in the name of who requested it. Both do it at the page Cases, where a login says who they are; the command
line takes any name, so it refuses such a case.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from fraudstream import money
from fraudstream.cases.answers.publisher import DecidedBy, Place, Status, shared_publisher
from fraudstream.cases.answers.staff import STAFF
from fraudstream.cases.events import DECISION_CONFIRMED, DECISION_REQUESTED, CaseEvent
from fraudstream.cases.history import CaseHistory, read_history
from fraudstream.cases.views.case_views import Answer
from fraudstream.errors import DecisionRefused
from fraudstream.settings import Settings

#: What a person may decide.
OUTCOMES: tuple[Status, ...] = ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD")
_LONGEST_NAME, _LONGEST_REASON = 255, 2_000
#: What a record's text may not have. Half a character is how Python passes on an argument that isn't UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that is on the topic: its partition and offset, and the outcome that it superseded, if there was one.

    `written` is False where the same decision was there already: the call before this one had written it.
    """

    place: Place
    superseded: str | None
    written: bool = True


class PublishesAnswers(Protocol):
    """What a decision needs of :class:`~fraudstream.cases.answers.publisher.AnswerPublisher`."""

    async def publish(
        self, status: Status, transaction: dict[str, object], answered_at: datetime, decided: DecidedBy | None = None
    ) -> Place:
        """Writes an answer; returns its place once it is durable."""


class PublishesEvents(Protocol):
    """What a request needs of :class:`~fraudstream.cases.events.CaseEvents`."""

    def publish(self, events: list[CaseEvent]) -> None:
        """Returns once each event is durable."""


def needs_second_person(settings: Settings, transaction: Mapping[str, Any]) -> bool:
    """Whether a decision about a transaction, money in minor units, counts only once another person confirmed it."""
    return bool(transaction["amount"] >= settings.desk_second_person_amount * 100)


def decide(settings: Settings, id_transaction: str, outcome: str, *, by: str, reason: str) -> Decided:
    """Decides a case that one person may decide; returns once all in-sync replicas have the decision.

    To be called again after an error: a decision that is the one that counts already isn't written twice.

    :raises DecisionRefused: the outcome is none, name or reason are missing or too long, or it takes a second person
    :raises UnknownCase: there is no such case
    :raises KafkaError, SchemaRegistryError: the decision may not be on the topic
    """
    status, decided = checked(outcome, by, reason)
    history = read_history(settings, id_transaction)
    if needs_second_person(settings, history.transaction):
        raise DecisionRefused(
            f"case {id_transaction} is about {money.shown(history.transaction['amount'])}: from"
            f" {settings.desk_second_person_amount:,} on (FRAUDSTREAM_DESK_SECOND_PERSON_AMOUNT) a decision takes two"
            " people. Decide it at the page Cases in Airflow: another person confirms it there"
        )
    return decide_case(history, status, decided, shared_publisher(settings))


def decide_case(history: CaseHistory, status: Status, decided: DecidedBy, publisher: PublishesAnswers) -> Decided:
    """:func:`decide` with what is known of the case; see there."""
    now = history.outcome
    if now is not None and _same(now, status, decided):
        return Decided((now.partition, now.offset), None, written=False)
    place = asyncio.run(publisher.publish(status, history.transaction, datetime.now(UTC), decided))
    return Decided(place, None if now is None else now.status)


def confirm_case(
    history: CaseHistory, identifier: str, by: str, publisher: PublishesAnswers, events: PublishesEvents
) -> Decided:
    """Confirms another person's request: the decision is written in the name of who requested it.

    To be called again after an error, as :func:`decide`.

    :param history: what is known of the case
    :raises DecisionRefused: there is no such request, it is confirmed already, or `by` made it
    :raises KafkaError: as :func:`decide`
    """
    of_request = [event for event in history.events if event.details.get("request") == identifier]
    requested = next((event for event in of_request if event.event_type == DECISION_REQUESTED), None)
    if requested is None:
        raise DecisionRefused(f"the case has no request {identifier!r}: the page Cases has those that wait")
    status, decided = checked(str(requested.details.get("outcome")), requested.by, requested.reason)
    confirmer = person(by)
    if confirmer == decided.name:
        raise DecisionRefused(f"request {identifier} is {confirmer}'s own: another person has to confirm it")
    if any(event.event_type == DECISION_CONFIRMED for event in of_request):
        raise DecisionRefused(f"request {identifier} is confirmed already; make a new one to decide again")
    made = decide_case(history, status, decided, publisher)
    details = {"request": identifier, "outcome": status, "requestedBy": decided.name}
    id_transaction = str(history.transaction["idTransaction"])
    events.publish([CaseEvent(id_transaction, DECISION_CONFIRMED, confirmer, decided.reason, details=details)])
    return made


def checked(outcome: str, by: str, reason: str) -> tuple[Status, DecidedBy]:
    """What a decision says, if it may be one.

    :raises DecisionRefused: it may not
    """
    status = next((known for known in OUTCOMES if known == outcome), None)
    if status is None:
        raise DecisionRefused(f"outcome is {outcome!r}: expected one of {', '.join(OUTCOMES)}")
    return status, DecidedBy(person(by), words(reason))


def person(by: str) -> str:
    """Who decides or writes an event, as records may name them.

    :raises DecisionRefused: they may not
    """
    name = by.strip()
    if not name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise DecisionRefused(f"the person is {by!r}: expected a user name of 1 to {_LONGEST_NAME} bytes")
    return name


def words(reason: str) -> str:
    """A person's reason, as records may say it.

    :raises DecisionRefused: they may not
    """
    text = reason.strip()
    if not text or len(text) > _LONGEST_REASON or _NO_TEXT.search(text):
        raise DecisionRefused(
            f"the reason has {len(text)} characters: expected 1 to {_LONGEST_REASON} of Unicode, without NUL, that say"
            " why to an auditor"
        )
    return text


def _same(answer: Answer, status: Status, decided: DecidedBy) -> bool:
    record = answer.record
    return (record["channel"], answer.status, record["decidedBy"], record["reason"]) == (
        STAFF,
        status,
        decided.name,
        decided.reason,
    )
