"""The views that confirmations need: the answer of each case, the case itself, and when its notice was accepted."""

import asyncio
import atexit
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from confluent_kafka import Message

from fraudstream.cases.answers.staff import is_staff_decision
from fraudstream.cases.deadlines import longest_wait
from fraudstream.cases.events import NOTICE_ACCEPTED
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.settings import Settings

#: How long after its record a case may be opened, or opened again in Airflow: the longest backlog.
LATE = timedelta(days=7)

V = TypeVar("V", bound=TopicView[Any])


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of a case, as its record has it."""

    id_transaction: str
    status: str
    answered_at: datetime
    partition: int
    offset: int
    #: All fields of the record: the transaction, money in minor units.
    record: dict[str, Any]


class ConfirmationView(TopicView[Answer]):
    """First answer of each case, by idTransaction."""

    topic = FRAUD_CONFIRMATION

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, Answer]:
        """A case's id and its answer."""
        case = record["idTransaction"]
        return case, Answer(case, record["status"], record["answeredAt"], message.partition(), message.offset(), record)


class OutcomeView(ConfirmationView):
    """The outcome of each case, by idTransaction: the last staff decision, otherwise the first answer."""

    def supersedes(self, value: Answer) -> bool:
        """Whether the answer is a staff decision."""
        return is_staff_decision(value.record)


class CaseView(TopicView[dict[str, Any]]):
    """The transaction of each fraud case, by idTransaction: what the confirmation page shows."""

    topic = FRAUD_TRANSACTION

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, dict[str, Any]]:
        """A case's id and its transaction, money in minor units."""
        return record["idTransaction"], record


class AcceptedView(TopicView[datetime]):
    """When a mail server accepted the first notice of each case, by idTransaction."""

    topic = CASE_EVENT

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, datetime]:
        """A case's id and the time; other events share the empty key, which no case has."""
        return record["idTransaction"] if record["eventType"] == NOTICE_ACCEPTED else "", record["at"]


def horizon(settings: Settings) -> timedelta:
    """How old a record can be and still matter: the longest wait of a case plus :data:`LATE`."""
    return longest_wait(settings.confirmation_time_limit) + LATE


class _Shared:
    """The one answer view of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._view: ConfirmationView | None = None

    def get(self, settings: Settings) -> ConfirmationView:
        with self._lock:
            if self._view is None or not self._view.alive:
                if self._view is None:
                    atexit.register(self.close)
                self._view = ConfirmationView(settings, horizon=horizon(settings))
                self._view.start()
            return self._view

    def close(self) -> None:
        with self._lock:
            if self._view is not None:
                self._view.close()


_shared = _Shared()


def shared_view(settings: Settings) -> ConfirmationView:
    """This process's answer view, started on first use; a new one after it was closed or ended with an error.

    All cases that wait in this process share the view's one consumer.
    """
    return _shared.get(settings)


class _WhileUsed(Generic[V]):
    """A view that its users in this process share: the first one opens it, the last one closes it."""

    def __init__(self, make: Callable[[Settings], V]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._view: V | None = None
        self._users = 0

    def enter(self, settings: Settings) -> V:
        with self._lock:
            if self._view is None or not self._view.alive:
                self._view = self._make(settings)
                self._view.start()
                self._users = 0
            self._users += 1
            return self._view

    def leave(self, view: V) -> None:
        with self._lock:
            if view is not self._view:  # the view ended with an error, and another one replaced it
                return
            self._users -= 1
            if self._users:
                return
            self._view = None
        view.close()  # without the lock: closing takes a moment, and enter() is called on the event loop


_whole = _WhileUsed(lambda settings: ConfirmationView(settings, horizon=None))
_accepted = _WhileUsed(lambda settings: AcceptedView(settings, horizon=horizon(settings)))


@asynccontextmanager
async def whole_view(settings: Settings) -> AsyncIterator[ConfirmationView]:
    """A view of all answers that the topic has, for cases that are older than :func:`horizon`.

    Callers share the view while they use it at the same time; the last one releases its memory.
    """
    view = _whole.enter(settings)
    try:
        yield view
    finally:
        await asyncio.to_thread(_whole.leave, view)  # its thread takes a moment to end


async def accepted_at(settings: Settings, id_transaction: str) -> datetime | None:
    """Returns when a mail server accepted a case's first notice; None: none has accepted it yet.

    A trigger calls this only when its case's time seems to be up, so a waiting case needs no second consumer. Callers
    at the same time share one view.

    :raises KafkaError: the topic can't be read
    """
    view = _accepted.enter(settings)
    try:
        while not view.caught_up:  # noqa: ASYNC110 - another thread makes it so
            await asyncio.sleep(0.1)
        return view.get(id_transaction)
    finally:
        await asyncio.to_thread(_accepted.leave, view)
