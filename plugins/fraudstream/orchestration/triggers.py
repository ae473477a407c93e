"""The trigger of a waiting case. All triggers in a triggerer share one consumer, one thread and one poll loop."""

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
    """A case's outcome as one line of the log."""
    return f"case {outcome['idTransaction']} is {outcome['status']}, answered at {outcome['answeredAt']}"


class Resolved(TaskSuccessEvent):
    """Ends a case's task with its outcome as XCom.

    Airflow logs each event, so this class puts the outcome in that line. A log line of the trigger's own would be a
    third more lines for the triggerer's supervisor, which limits the rate: 50 cases ended in a second instead of 64.
    """

    def __repr__(self) -> str:
        return outcome_line(cast(dict[str, Any], self.xcoms)["return_value"])


class ConfirmationTrigger(AwaitMessageTrigger):
    """Waits for the outcome of one case: the first answer in log order, or NO_RESPONSE after its time limit.

    :mod:`fraudstream.cases.deadlines` defines the time limit.

    The provider's trigger polls with its own consumer. This one waits on the process's shared view of the topic, so
    that a waiting case takes only a coroutine and a dictionary entry. If the brokers don't answer, it waits for them.

    :param case: the case as JSON, see :func:`fraudstream.cases.opening.case_of`
    :param end_from_trigger: end the task from the trigger, with the outcome as XCom and without a worker
    """

    def __init__(self, case: str, end_from_trigger: bool = False) -> None:
        super().__init__(topics=[FRAUD_CONFIRMATION])
        self.case = case
        self.end_from_trigger = end_from_trigger

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class path and the arguments with which any triggerer can create the trigger again."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {"case": self.case, "end_from_trigger": self.end_from_trigger}

    def render_template_fields(self, context: Context, jinja_env: Environment | None = None) -> None:
        """Fills in the case, then frees the run's conf, of which each trigger has a copy: 0.3 MiB for 200 cases."""
        super().render_template_fields(context, jinja_env)
        context["dag_run"].conf = None
        context["params"] = {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yields one event, with the outcome.

        It logs asynchronously, outside the event loop's thread. The triggerer's supervisor reads the log lines, but not
        while it sends new triggers. An event loop that waited until a line is read couldn't receive the triggers: a
        deadlock.
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
        # The task was cleared long after the case was opened: the shared view no longer has answers of that time.
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
            # This may be another answer than NO_RESPONSE: one that arrived meanwhile is earlier in the log and counts.
            answer = view.get(id_transaction)
        if answer is None:
            raise KafkaError(f"case {id_transaction}: NO_RESPONSE was published but isn't in the topic's view")
        return answer

    async def _wait_until(self, until: datetime, view: Any, id_transaction: str) -> Answer | None:
        """The case's answer, or None if there is none at the time `until`."""
        left = until - datetime.now(UTC)
        try:
            found: Answer | None = await asyncio.wait_for(view.wait(id_transaction), max(0.0, left.total_seconds()))
        except TimeoutError:
            # The answer may be in a part of the topic that the view hasn't read yet.
            while not view.caught_up:  # noqa: ASYNC110 - another thread changes it
                await asyncio.sleep(0.5)
            found = view.get(id_transaction)
        return found
