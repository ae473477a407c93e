"""Gives cases whose sensor is gone an outcome: NO_RESPONSE, once their time is up.

A sensor publishes NO_RESPONSE when its case's time is up. It doesn't if a person marked its task, if its run was
deleted or if its trigger failed. This module therefore looks for cases without an outcome, independently of
Airflow's runs:

1. read the frauds, the outcomes and the acceptances of notices of the last days from their topics,
2. take the frauds without an outcome that came longer ago than the time limit and a grace period,
3. calculate their deadlines from the claims of their runs and from when their notices were accepted,
4. publish NO_RESPONSE for each case whose deadline is over. Publishing many takes a while, so check each case again
   for an outcome just before.

A sensor that publishes at the same time does no harm: the first outcome in the log counts, and both are the same.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from confluent_kafka import Message

from fraudstream.cases.answers.publisher import AnswerPublisher
from fraudstream.cases.claims import Case, claim_days, claimed_on
from fraudstream.cases.deadlines import deadline, longest_wait
from fraudstream.cases.opening import FOLDER
from fraudstream.cases.views.case_views import AcceptedView, ConfirmationView
from fraudstream.cases.views.topic_view import TopicView
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.settings import Settings

logger = logging.getLogger(__name__)

#: How long after a case's deadline its own sensor may take to publish the outcome.
GRACE = timedelta(minutes=15)
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A fraud without an outcome: when its record came, and the transaction."""

    came_at: datetime
    transaction: dict[str, Any]

    @property
    def id(self) -> str:
        """The case's id."""
        return str(self.transaction["idTransaction"])


class _Frauds(TopicView[OpenCase]):
    """All frauds of the last days; `seen` has each of them by id."""

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
    """Publishes NO_RESPONSE for each case without an outcome whose time is up; returns the ids of these cases.

    :param look_back: cases are read whose records came within the longest wait of a case plus this time
    :raises KafkaError: a topic can't be read or written; outcomes that were published before are kept
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
            # Keep a record with a time in the future, from a broker whose clock was ahead: its claim has the deadline.
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
    """Returns the cases whose deadline, by the claim of their run, is over by :data:`GRACE`.

    A case without a claim has no run yet, and isn't returned.

    :param limit: the time limit of a case
    :param accepted: when the notice of each case was accepted, by the case's id
    """
    expired = []
    claimed: dict[date, dict[str, Case]] = {}
    for case in waiting:
        for day in claim_days(case.came_at):
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
