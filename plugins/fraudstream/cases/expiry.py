"""Cases whose sensor is gone still get an outcome: NO_RESPONSE, once their time is up.

A sensor publishes it when its case's time is up. One that a person marked, whose run was deleted, or whose trigger
failed does not. So this looks, from outside of Airflow's runs, for cases without an outcome:

1. read the frauds and the outcomes of the last days from their topics,
2. take the frauds without an outcome whose time should have been up for a while,
3. look their real time up in the claims that runs are opened with, and when their notices were accepted,
4. publish NO_RESPONSE for those whose time is up and that have no outcome by then: publishing many takes a while.

A sensor that publishes meanwhile does no harm: the first outcome in the log counts, and both are the same.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from confluent_kafka import Message

from fraudstream.cases.answers.publisher import AnswerPublisher
from fraudstream.cases.claims import Case, claimed_on
from fraudstream.cases.deadlines import deadline, longest_wait
from fraudstream.cases.opening import FOLDER
from fraudstream.cases.views.case_views import AcceptedView, ConfirmationView
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

#: How long a case's own sensor has, after its time is up, to publish the outcome.
GRACE = timedelta(minutes=15)
_LOOK_SECONDS = 0.5
_CLAIM_DAYS = 31


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A fraud without an outcome: when its record came, and the transaction."""

    came_at: datetime
    transaction: dict[str, Any]

    @property
    def id(self) -> str:
        """Of the case."""
        return str(self.transaction["idTransaction"])


class _Frauds(TopicView[OpenCase]):
    """All frauds of the last days; `seen` keeps those that have no outcome yet."""

    topic = FRAUD_TRANSACTION

    def __init__(self, settings: Settings, *, horizon: timedelta) -> None:
        super().__init__(settings, horizon=horizon)
        self.seen: dict[str, OpenCase] = {}

    def value(self, record: dict[str, Any], message: Message) -> tuple[str, OpenCase]:
        """A case's id and the case."""
        came_at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
        case = self.seen.setdefault(record["idTransaction"], OpenCase(came_at, record))
        return case.id, case


async def close_expired(settings: Settings, store: ObjectStore, *, look_back: timedelta) -> list[str]:
    """Publishes NO_RESPONSE for each case whose time is up without an outcome; returns their ids.

    :param look_back: how far before the longest wait of a case its record may lie
    :raises KafkaError: a topic can't be read or written; those that were published stay so
    :raises LakeError: the claims can't be read
    """
    limit = settings.confirmation_time_limit
    horizon = longest_wait(limit) + look_back
    with ConfirmationView(settings, horizon=horizon) as outcomes:
        with (
            _Frauds(settings, horizon=horizon) as frauds,
            AcceptedView(settings, horizon=horizon) as accepted,
        ):
            # 1. read
            while not (frauds.caught_up and outcomes.caught_up and accepted.caught_up):  # noqa: ASYNC110 - by threads
                await asyncio.sleep(_LOOK_SECONDS)
            # 2. without an outcome
            now = datetime.now(UTC)
            late = now - limit - GRACE
            # that a record is of the future, from a broker whose clock was ahead, says nothing: its claim does
            found = (case for case in frauds.seen.values() if not late <= case.came_at <= now)
            waiting = [case for case in found if outcomes.get(case.id) is None]
            moments = {case.id: accepted.get(case.id) for case in waiting}
        # 3. whose time is up
        expired = await asyncio.to_thread(expired_by_claim, store, waiting, now, limit, moments)
        # 4. publish
        return await _close(settings, expired, outcomes)


async def _close(settings: Settings, expired: Iterable[OpenCase], outcomes: ConfirmationView) -> list[str]:
    closed = []
    publisher = AnswerPublisher(settings)
    try:
        for case in expired:
            if outcomes.get(case.id) is not None:
                continue
            partition, offset = await publisher.publish("NO_RESPONSE", case.transaction, datetime.now(UTC))
            logger.warning(
                "case %s of %s had no outcome, because nothing waits for it: NO_RESPONSE is partition %d, offset %d of "
                "topic fraud_confirmation now",
                case.id,
                case.came_at.isoformat(timespec="seconds"),
                partition,
                offset,
            )
            closed.append(case.id)
    finally:
        publisher.close()
    return closed


def expired_by_claim(
    store: ObjectStore,
    waiting: Iterable[OpenCase],
    now: datetime,
    limit: timedelta,
    accepted: Mapping[str, datetime | None],
) -> list[OpenCase]:
    """Of the cases, those whose time is up by the claim of their run; one without a claim has no run yet.

    :param accepted: when the notice of each case was
    """
    expired = []
    claimed: dict[date, dict[str, Case]] = {}
    for case in waiting:
        # A claim lies in the day of its first record, which may be a while before the case's.
        for days in range(_CLAIM_DAYS):
            day = case.came_at.date() - timedelta(days=days)
            if day not in claimed:
                claimed[day] = claimed_on(store, FOLDER, day)
            if case.id in claimed[day]:
                first_limit = datetime.fromisoformat(claimed[day][case.id]["expiresAt"])
                if deadline(first_limit, accepted.get(case.id), limit) + GRACE <= now:
                    expired.append(case)
                break
        else:
            logger.warning("case %s has no claim: open_cases hasn't got to it, or its claim was removed", case.id)
    return expired
