"""The process's index of cases, which follows the topics until the process ends."""

import asyncio
import atexit
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Message

from fraudstream.cases.views.case_views import horizon
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.desk.case_index import CaseIndex, Placed
from fraudstream.errors import KafkaUnavailable
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from fraudstream.settings import Settings

#: Older cases that no longer wait are in the lake and on the topics, but not in the index.
_KEPT = timedelta(days=30)
_PRUNE_SECONDS = 3600.0
_LOOK_SECONDS = 0.02


def kept(settings: Settings) -> timedelta:
    """Returns the age up to which cases are in the index."""
    return max(_KEPT, horizon(settings))


class _Feed(TopicView[None]):
    """Passes each record to the index; itself keeps only the ids."""

    def __init__(self, settings: Settings, index: CaseIndex) -> None:
        super().__init__(settings, horizon=kept(settings))
        self._index = index

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, None]:
        """Passes a record to the index and returns its case's id."""
        self.take(record, Placed(message.partition() or 0, message.offset() or 0, message.timestamp()[1]))
        return record["idTransaction"], None

    def take(self, record: dict[str, Any], placed: Placed) -> None:
        """Passes a record to the index."""
        raise NotImplementedError


class _Cases(_Feed):
    topic = FRAUD_TRANSACTION

    def take(self, record: dict[str, Any], placed: Placed) -> None:
        self._index.add_case(record, placed)


class _Answers(_Feed):
    topic = FRAUD_CONFIRMATION

    def take(self, record: dict[str, Any], placed: Placed) -> None:
        self._index.add_answer(record, placed)


class _Events(_Feed):
    topic = CASE_EVENT

    def take(self, record: dict[str, Any], placed: Placed) -> None:
        self._index.add_event(record, placed)


class DeskViews:
    """The index and the three views that fill it; :meth:`close` ends them."""

    def __init__(self, settings: Settings) -> None:
        self.index = CaseIndex(settings.confirmation_time_limit)
        self._feeds = [made(settings, self.index) for made in (_Cases, _Answers, _Events)]
        self._answers = self._feeds[1]
        self._kept = kept(settings)
        self._pruned_at = time.monotonic()
        for feed in self._feeds:
            feed.start()

    @property
    def alive(self) -> bool:
        """Whether all views still follow their topics."""
        return all(feed.alive for feed in self._feeds)

    def caught_up(self) -> bool:
        """Whether the index has all records that the topics had at the start. Drops old cases, at most once an hour.

        :raises KafkaError: a view ended before that
        """
        if time.monotonic() - self._pruned_at > _PRUNE_SECONDS:
            self._pruned_at = time.monotonic()
            self.index.forget(self._kept, datetime.now(UTC))
        return all(feed.caught_up for feed in self._feeds)

    def wait(self, seconds: float) -> bool:
        """Waits for :meth:`caught_up`; returns False if that takes longer than `seconds`."""
        until = time.monotonic() + seconds
        while not self.caught_up():
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def wait_for_answer(self, partition: int, offset: int, seconds: float) -> None:
        """Returns once the answer at this offset is in the index.

        :raises KafkaUnavailable: the answer is on the topic, but isn't read within `seconds`
        """
        try:
            asyncio.run(asyncio.wait_for(self._answers.reached(partition, offset), seconds))
        except TimeoutError:
            raise KafkaUnavailable(
                f"the decision is partition {partition}, offset {offset} of topic {FRAUD_CONFIRMATION}, but it wasn't"
                f" read back within {seconds:.0f} s; it counts all the same"
            ) from None

    def close(self) -> None:
        """Ends the views and closes the index."""
        for feed in self._feeds:
            feed.close()
        self.index.close()


class _Shared:
    """The one index of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._views: DeskViews | None = None

    def get(self, settings: Settings) -> DeskViews:
        with self._lock:
            if self._views is None or not self._views.alive:
                if self._views is None:
                    atexit.register(self.close)
                else:
                    self._views.close()
                self._views = DeskViews(settings)
            return self._views

    def close(self) -> None:
        with self._lock:
            if self._views is not None:
                self._views.close()


_shared = _Shared()


def shared_views(settings: Settings) -> DeskViews:
    """This process's index, started on first use; a new one after one of its views ended with an error."""
    return _shared.get(settings)
