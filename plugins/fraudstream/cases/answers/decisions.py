"""Staff decisions: a person of the bank answers for a customer who called, or corrects an earlier answer.

A decision is a record of fraud_confirmation with channel STAFF, the person's name and reason. If the case has no answer
yet, the decision ends its sensor; otherwise the sensor's XCom remains the first answer. A superseded answer stays in
the topic and in the lake. :mod:`fraudstream.cases.answers.staff` has the rule which answer counts.

From the amount FRAUDSTREAM_DESK_SECOND_PERSON_AMOUNT on, a decision takes two people (:func:`needs_second_person`): one
requests it, and another one confirms it. A later request of the case replaces it. The topics get an event
DECISION_REQUESTED, then the decision in the name of the person who requested it, and an event DECISION_CONFIRMED. Both
people use the page Cases, where they are logged in. The command line accepts any name, so it refuses such a case.
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

#: Outcomes that a person may choose.
OUTCOMES: tuple[Status, ...] = ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD")
_LONGEST_NAME, _LONGEST_REASON = 255, 2_000
#: Characters that a record's text must not have: NUL and surrogates. Python decodes an argument that isn't UTF-8 to
#: surrogates.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision that is on the topic: its partition and offset, and the outcome that it superseded, if there was one.

    `written` is False if an earlier call had written the same decision already.
    """

    place: Place
    superseded: str | None
    written: bool = True


class PublishesAnswers(Protocol):
    """The method of :class:`~fraudstream.cases.answers.publisher.AnswerPublisher` that a decision uses."""

    async def publish(
        self, status: Status, transaction: dict[str, object], answered_at: datetime, decided: DecidedBy | None = None
    ) -> Place:
        """Writes an answer; returns its partition and offset once it is durable."""


class PublishesEvents(Protocol):
    """The method of :class:`~fraudstream.cases.events.CaseEvents` that requests and confirmations use."""

    def publish(self, events: list[CaseEvent]) -> None:
        """Writes events; returns once each of them is durable."""


def needs_second_person(settings: Settings, transaction: Mapping[str, Any]) -> bool:
    """Whether another person has to confirm a decision about a transaction, which has money in minor units."""
    return bool(transaction["amount"] >= settings.desk_second_person_amount * 100)


def decide(settings: Settings, id_transaction: str, outcome: str, *, by: str, reason: str) -> Decided:
    """Decides a case that needs no second person; returns once all in-sync replicas have the decision.

    Safe to call again after an error: if the same decision is the case's outcome already, it isn't written again.

    :raises DecisionRefused: the outcome is unknown, name or reason is invalid, or the decision needs a second person
    :raises UnknownCase: there is no such case
    :raises KafkaError, SchemaRegistryError: reading or writing a topic failed; the decision may be on the topic or not
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
    """As :func:`decide`, for a case that was read already; doesn't check whether a second person is needed."""
    now = history.outcome
    if now is not None and _same(now, status, decided):
        return Decided((now.partition, now.offset), None, written=False)
    place = asyncio.run(publisher.publish(status, history.transaction, datetime.now(UTC), decided))
    return Decided(place, None if now is None else now.status)


def confirm_case(
    history: CaseHistory, identifier: str, by: str, publisher: PublishesAnswers, events: PublishesEvents
) -> Decided:
    """Confirms another person's request: writes the decision in that person's name, then an event DECISION_CONFIRMED.

    Safe to call again after an error, as :func:`decide` is.

    :param identifier: id of the request
    :raises DecisionRefused: there is no such request, it is confirmed already, `by` made it, or a later request of the
        case replaces it
    :raises KafkaError: as :func:`decide`
    """
    of_request = [event for event in history.events if event.details.get("request") == identifier]
    requested = next((event for event in of_request if event.event_type == DECISION_REQUESTED), None)
    if requested is None:
        raise DecisionRefused(f"the case has no request {identifier!r}: the page Cases lists the open requests")
    status, decided = checked(str(requested.details.get("outcome")), requested.by, requested.reason)
    confirmer = person(by)
    if confirmer == decided.name:
        raise DecisionRefused(f"request {identifier} is {confirmer}'s own: another person has to confirm it")
    if any(event.event_type == DECISION_CONFIRMED for event in of_request):
        raise DecisionRefused(f"request {identifier} is confirmed already; make a new one to decide again")
    last = [event for event in history.events if event.event_type == DECISION_REQUESTED][-1]
    if last.details.get("request") != identifier:
        raise DecisionRefused(
            f"request {identifier} is replaced by a later one of {last.by}, {last.details.get('request')}: confirm that"
            " one, or request the decision again"
        )
    made = decide_case(history, status, decided, publisher)
    details = {"request": identifier, "outcome": status, "requestedBy": decided.name}
    id_transaction = str(history.transaction["idTransaction"])
    events.publish([CaseEvent(id_transaction, DECISION_CONFIRMED, confirmer, decided.reason, details=details)])
    return made


def checked(outcome: str, by: str, reason: str) -> tuple[Status, DecidedBy]:
    """Validates a decision; returns its status, and its name and reason without surrounding white space.

    :raises DecisionRefused: outcome, name or reason is invalid
    """
    status = next((known for known in OUTCOMES if known == outcome), None)
    if status is None:
        raise DecisionRefused(f"outcome is {outcome!r}: expected one of {', '.join(OUTCOMES)}")
    return status, DecidedBy(person(by), words(reason))


def person(by: str) -> str:
    """Returns the name of the person who decides or writes an event, without surrounding white space.

    :raises DecisionRefused: the name is empty, too long or not printable
    """
    name = by.strip()
    if not name or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise DecisionRefused(f"the person is {by!r}: expected a user name of 1 to {_LONGEST_NAME} bytes")
    return name


def words(reason: str) -> str:
    """Returns a person's reason without surrounding white space.

    :raises DecisionRefused: the reason is empty or too long, or has NUL or a surrogate
    """
    text = reason.strip()
    if not text or len(text) > _LONGEST_REASON or _NO_TEXT.search(text):
        raise DecisionRefused(
            f"the reason has {len(text)} characters: expected 1 to {_LONGEST_REASON} characters of Unicode, without"
            " NUL, that tell an auditor why"
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
