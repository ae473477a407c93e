"""The actions of people on cases. Each action writes a record to a topic, with the person, the time and the reason.

A decision is written to fraud_confirmation, where the case's sensor waits for it. Every other action is an event on
case_event. From the amount FRAUDSTREAM_DESK_SECOND_PERSON_AMOUNT on, a decision is only a request until another person
confirms it.
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

import numpy as np
import pyarrow as pa

from fraudstream.cases.answers.decisions import (
    PublishesAnswers,
    PublishesEvents,
    checked,
    confirm_case,
    decide_case,
    needs_second_person,
    person,
    words,
)
from fraudstream.cases.events import ASSIGNED, DECISION_REQUESTED, NOTE, NOTICE_ACCEPTED, CaseEvent
from fraudstream.desk.case_index import CaseIndex, KnownCase
from fraudstream.errors import DecisionRefused, FraudstreamError, KafkaUnavailable, UnknownCase
from fraudstream.kafka.avro.codec import arrow_schema
from fraudstream.kafka.records import FRAUD_TRANSACTION, Batch
from fraudstream.mail.resend import Cases, resend
from fraudstream.settings import Settings

#: How long an action waits until the index has read what it wrote.
SEEN_SECONDS = 5.0
_LOOK_SECONDS = 0.02
_LONGEST_NAME = 255
#: Maximum number of cases of one action.
MOST_CASES = 200
#: Held from reading a case until the record that an action writes is read back. It is global, since each request has
#: its own :class:`Desk`: two requests at once, such as a double click, would both find no decision and write two.
#: Besides, the producer of events isn't thread-safe.
_ONE_AT_A_TIME = threading.Lock()


class Views(Protocol):
    """The part of :class:`~fraudstream.desk.views.DeskViews` that actions use."""

    index: CaseIndex

    def wait_for_answer(self, partition: int, offset: int, seconds: float) -> None:
        """Returns once the answer at this offset is in the index."""


@dataclass(slots=True)
class Done:
    """The results of an action by case, as text; `refused` has the errors, including records not read back in time."""

    done: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


class Desk:
    """Carries out actions. Several threads may use one instance, or instances of their own.

    :raises DecisionRefused: from all actions except :meth:`confirm`, before anything is done: an outcome, a name, a
        reason or the number of cases is invalid
    """

    def __init__(self, settings: Settings, views: Views, publisher: PublishesAnswers, events: PublishesEvents) -> None:
        self._settings = settings
        self._views = views
        self._publisher = publisher
        self._events = events

    def needs_second_person(self, known: KnownCase) -> bool:
        """Whether a decision of the case has to be confirmed by another person."""
        return needs_second_person(self._settings, known.history.transaction)

    def decide(self, ids: Sequence[str], outcome: str, *, by: str, reason: str) -> Done:
        """Decides cases, even if they have an outcome; from the setting's amount on, requests the decision instead."""
        status, decided = checked(outcome, by, reason)

        def one(known: KnownCase) -> str:
            if self.needs_second_person(known):
                details = {"request": uuid.uuid4().hex[:12], "outcome": status}
                self._publish(
                    CaseEvent(known.queued.id, DECISION_REQUESTED, decided.name, decided.reason, details=details)
                )
                return "waits for a second person"
            made = decide_case(known.history, status, decided, self._publisher)
            self._views.wait_for_answer(*made.place, SEEN_SECONDS)
            return f"decided: partition {made.place[0]}, offset {made.place[1]} of topic fraud_confirmation"

        return self._each(ids, one)

    def confirm(self, case: str, request: str, *, by: str) -> Done:
        """Confirms a decision that another person requested; it is written in that person's name."""

        def one(known: KnownCase) -> str:
            made = confirm_case(known.history, request, by, self._publisher, self._events)
            self._views.wait_for_answer(*made.place, SEEN_SECONDS)
            self._wait(lambda: _case(self._views.index, case).queued.request != request)
            return f"confirmed: partition {made.place[0]}, offset {made.place[1]} of topic fraud_confirmation"

        return self._each([case], one)

    def note(self, ids: Sequence[str], *, by: str, reason: str) -> Done:
        """Writes a remark about each case."""
        text, who = words(reason), person(by)

        def one(known: KnownCase) -> str:
            self._publish(CaseEvent(known.queued.id, NOTE, who, text))
            return "noted"

        return self._each(ids, one)

    def assign(self, ids: Sequence[str], assignee: str, *, by: str, reason: str) -> Done:
        """Assigns cases to a person; an empty name: to nobody."""
        text, who, name = words(reason), person(by), assignee.strip()
        if len(name) > _LONGEST_NAME or not (name.isprintable() or not name):
            raise DecisionRefused(
                f"the name has {len(name)} characters: expected a user name of at most {_LONGEST_NAME}"
            )

        def one(known: KnownCase) -> str:
            self._publish(CaseEvent(known.queued.id, ASSIGNED, who, text, details={"assignee": name}))
            return f"assigned to {name}" if name else "assigned to nobody"

        return self._each(ids, one)

    def send_again(self, ids: Sequence[str], *, by: str, reason: str) -> Done:
        """Sends the notices of open cases again, with the next run of the DAG retry_mails.

        All of them at once, because each call of :func:`resend` opens the customer directory.
        """
        text, who = words(reason), person(by)
        done, cases, events = Done(), Cases(), dict[str, int]()
        with _ONE_AT_A_TIME:
            for case in _chosen(ids):
                try:
                    known = _case(self._views.index, case)
                    if not known.queued.is_open:
                        raise DecisionRefused("the case has an outcome: its customer needs no link any more")
                except FraudstreamError as error:
                    done.refused[case] = str(error)
                    continue
                cases.transactions[case] = _batch(known)
                happened = known.history.events
                accepted = next((event.at for event in happened if event.event_type == NOTICE_ACCEPTED), None)
                if accepted is not None:
                    cases.accepted[case] = accepted
                events[case] = len(happened)
            if not events:
                return done
            try:
                done.refused |= resend(self._settings, cases, list(events), by=who, reason=text, dry_run=False).refused
            except FraudstreamError as error:
                # The notices before the error are queued: they have an event.
                done.refused |= {case: str(error) for case in events if not self._has_more_events(case, events[case])}
            for case in [case for case in events if case not in done.refused]:
                try:
                    self._wait(partial(self._has_more_events, case, events[case]))
                    done.done[case] = "is sent again with the next run of the DAG retry_mails"
                except KafkaUnavailable as error:
                    done.refused[case] = str(error)
        return done

    def _has_more_events(self, case: str, number: int) -> bool:
        return len(_case(self._views.index, case).history.events) > number

    def _each(self, ids: Sequence[str], act: Callable[[KnownCase], str]) -> Done:
        done = Done()
        for case in _chosen(ids):
            try:
                with _ONE_AT_A_TIME:
                    done.done[case] = act(_case(self._views.index, case))
            except FraudstreamError as error:
                done.refused[case] = str(error)
        return done

    def _publish(self, event: CaseEvent) -> None:
        # Records have times in ms: round the time down, so that the event that is read back is equal.
        event = replace(event, at=event.at.replace(microsecond=event.at.microsecond // 1000 * 1000))
        self._events.publish([event])
        self._wait(lambda: event in _case(self._views.index, event.id_transaction).history.events)

    def _wait(self, seen: Callable[[], bool]) -> None:
        until = time.monotonic() + SEEN_SECONDS
        while not seen():
            if time.monotonic() > until:
                raise KafkaUnavailable(
                    "the event is on topic case_event, but wasn't read back in time; it counts all the same"
                )
            time.sleep(_LOOK_SECONDS)


def _chosen(ids: Sequence[str]) -> list[str]:
    """Returns the ids without repeated ones.

    :raises DecisionRefused: there are none, or too many
    """
    if not 0 < len(ids) <= MOST_CASES:
        raise DecisionRefused(f"{len(ids)} cases are chosen: expected 1 to {MOST_CASES}")
    return list(dict.fromkeys(ids))


def _case(index: CaseIndex, case: str) -> KnownCase:
    known = index.case(case)
    if known is None:
        raise UnknownCase(f"no case of the last weeks has the id {case[:100]!r}")
    return known


def _batch(known: KnownCase) -> Batch:
    rows = pa.RecordBatch.from_pylist([known.history.transaction], schema=arrow_schema(FRAUD_TRANSACTION))
    at = np.array([int(known.came_at.timestamp() * 1000)])
    return Batch(known.place, np.array([known.offset]), at, rows, known.offset + 1)
