"""The trigger of a waiting case: N of them in a triggerer share one consumer, one thread and one poll."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

from airflow.providers.apache.kafka.triggers.await_message import AwaitMessageTrigger
from airflow.sdk.definitions.context import Context
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from jinja2 import Environment

from fraudstream.cases.answers.publisher import shared_publisher
from fraudstream.cases.claims import Case
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.opening import described, transaction_of
from fraudstream.cases.views.case_views import Answer, accepted_at, horizon, shared_view, whole_view
from fraudstream.errors import KafkaError
from fraudstream.kafka.records import FRAUD_CONFIRMATION
from fraudstream.settings import Settings, get_settings

_RETRY_SECONDS = 5.0


def outcome_line(outcome: dict[str, Any]) -> str:
    """A case's outcome in one line, for people."""
    return f"case {outcome['idTransaction']} is {outcome['status']}, answered at {outcome['answeredAt']}"


class Resolved(TaskSuccessEvent):
    """Ends a case's task with its outcome as XCom.

    Airflow logs each event; here that line tells the outcome. One of ours would be a third more for the triggerer's
    supervisor to read, and that bounds how many cases end in a second: 50 instead of 64 were seen.
    """

    def __repr__(self) -> str:
        return outcome_line(cast(dict[str, Any], self.xcoms)["return_value"])


class ConfirmationTrigger(AwaitMessageTrigger):
    """Waits for the outcome of one case: the first answer in log order, or NO_RESPONSE when its time is up.

    The time is that of :mod:`fraudstream.cases.deadlines`.

    The provider's trigger polls with a consumer of its own; this one waits on the process's view of the topic, so a
    waiting case costs a coroutine and a dictionary entry. Brokers that are away are waited for.

    :param case: the case as JSON, see :func:`fraudstream.cases.opening.case_of`
    :param end_from_trigger: end the task here with the outcome as XCom, no worker needed
    """

    def __init__(self, case: str, end_from_trigger: bool = False) -> None:
        super().__init__(topics=[FRAUD_CONFIRMATION])
        self.case = case
        self.end_from_trigger = end_from_trigger

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments to make it again in any triggerer."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"case": self.case, "end_from_trigger": self.end_from_trigger}

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Fills in the case, then lets go of its run's conf, of which each trigger has a copy: 0.3 MiB at 200 cases."""
        super().render_template_fields(context, jinja_env)
        context["dag_run"].conf = None
        context["params"] = {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields one event, with the outcome.

        It logs beside the event loop. The triggerer's supervisor reads these lines, and while it hands over new cases
        it reads none: a loop that waits for it to take a line can't take the cases, and both would wait for ever.
        """
        case: Case = json.loads(self.case)
        await self.log.ainfo("case %s", described(case))
        while True:
            try:
                answer = await self._answer(get_settings(), case)
                break
            except KafkaError as error:
                await self.log.awarning("case %s waits for Kafka: %s", case["idTransaction"], error)
                await asyncio.sleep(_RETRY_SECONDS)
        outcome = {
            "idTransaction": answer.id_transaction,
            "status": answer.status,
            "answeredAt": answer.answered_at.isoformat(),
            "partition": answer.partition,
            "offset": answer.offset,
        }
        yield Resolved(xcoms={"return_value": outcome}) if self.end_from_trigger else TriggerEvent(outcome)

    async def _answer(self, settings: Settings, case: Case) -> Answer:
        opened_at = datetime.fromisoformat(case["openedAt"])
        if opened_at > datetime.now(UTC) - horizon(settings):
            return await self._wait(settings, shared_view(settings), case)
        # Cleared long after it was opened: the shared view no longer holds what was answered then.
        async with whole_view(settings) as view:
            return await self._wait(settings, view, case)

    async def _wait(self, settings: Settings, view: Any, case: Case) -> Answer:
        id_transaction = case["idTransaction"]
        first_limit = datetime.fromisoformat(case["expiresAt"])
        answer: Answer | None = await self._wait_until(first_limit, view, id_transaction)
        if answer is None:
            # The time limit runs from when the notice was accepted.
            accepted = await accepted_at(settings, id_transaction)
            until = deadline(first_limit, accepted, settings.confirmation_time_limit)
            if until > first_limit:
                await self.log.ainfo(
                    "case %s: its notice was accepted at %s, it waits until %s", id_transaction, accepted, until
                )
                answer = await self._wait_until(until, view, id_transaction)
        if answer is None:
            place = await shared_publisher(settings).publish("NO_RESPONSE", transaction_of(case), datetime.now(UTC))
            await view.reached(*place)
            # Not necessarily ours: an answer that came in between lies before it in the log, and counts.
            answer = view.get(id_transaction)
        if answer is None:
            raise KafkaError(f"case {id_transaction}: NO_RESPONSE was published but isn't in the topic's view")
        return answer

    async def _wait_until(self, until: datetime, view: Any, id_transaction: str) -> Answer | None:
        """The answer, or None where there is none by then."""
        left = until - datetime.now(UTC)
        try:
            found: Answer | None = await asyncio.wait_for(view.wait(id_transaction), max(0.0, left.total_seconds()))
        except TimeoutError:
            # The answer may lie in a part of the topic that the view hasn't read yet.
            while not view.caught_up:  # noqa: ASYNC110 - another thread makes it so
                await asyncio.sleep(0.5)
            found = view.get(id_transaction)
        return found
