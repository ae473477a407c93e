"""What the trigger of a waiting case keeps in memory, and that it never blocks its triggerer."""

import asyncio
import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from fraudstream.cases.opening import case_of
from fraudstream.cases.views.case_views import Answer
from fraudstream.errors import KafkaUnavailable
from fraudstream.orchestration import triggers
from fraudstream.orchestration.sensors import CASE
from fraudstream.orchestration.triggers import ConfirmationTrigger
from fraudstream.settings import Settings
from jinja2 import Environment

from tests.fakes.cases import transaction


def test_a_waiting_case_keeps_itself_and_lets_go_of_its_run_s_other_cases() -> None:
    cases = [{"idTransaction": f"case-{number}"} for number in range(3)]
    run = SimpleNamespace(conf={"cases": cases})
    context = {"dag_run": run, "ti": SimpleNamespace(map_index=1), "params": {"cases": cases}}
    trigger = ConfirmationTrigger(case=CASE, end_from_trigger=True)
    trigger.template_fields = ("case",)
    trigger.render_template_fields(context, Environment(autoescape=False))  # noqa: S701  no HTML
    assert json.loads(trigger.case) == {"idTransaction": "case-1"}
    assert run.conf is None
    assert context["params"] == {}


class AnsweredAtTheSecondTry(ConfirmationTrigger):
    """Kafka is down at first; then there is an answer."""

    tries = 0

    async def _answer(self, *_: Any) -> Answer:
        self.tries += 1
        if self.tries == 1:
            raise KafkaUnavailable("the brokers are away")
        return Answer("case-1", "REPORTED_FRAUD", datetime(2026, 11, 26, 12, tzinfo=UTC), 0, 7, {})


def test_a_case_never_writes_its_log_in_the_thread_that_hears_of_new_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing could block while the supervisor passes new cases, which waits for that thread: see test_survival."""
    monkeypatch.setattr(triggers, "_RETRY_SECONDS", 0)
    written: list[tuple[str, int]] = []

    def write(_: Any, __: str, event: Any) -> Any:
        written.append((event["event"], threading.get_ident()))
        raise structlog.DropEvent

    case = json.dumps(case_of(transaction(), datetime.now(UTC), timedelta(hours=1)))
    trigger = AnsweredAtTheSecondTry(case, end_from_trigger=True)
    trigger._log = structlog.wrap_logger(
        None, processors=[write], wrapper_class=structlog.make_filtering_bound_logger(logging.INFO)
    )

    async def run() -> TriggerEvent:
        return await anext(trigger.run())

    event = asyncio.run(run())
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms is not None
    assert event.xcoms["return_value"]["status"] == "REPORTED_FRAUD"
    assert repr(event) == "case case-1 is REPORTED_FRAUD, answered at 2026-11-26T12:00:00+00:00"
    assert ["waits since" in written[0][0], "waits for Kafka" in written[1][0], len(written)] == [True, True, 2]
    assert threading.get_ident() not in {thread for _, thread in written}


class NoAnswers:
    """A view of a topic without an answer; publishing NO_RESPONSE adds one."""

    caught_up = True

    def __init__(self) -> None:
        self.found: Answer | None = None

    async def wait(self, _: str) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    def get(self, _: str) -> Answer | None:
        return self.found

    async def reached(self, *_: int) -> None: ...

    async def publish(self, status: str, transaction: dict[str, Any], at: datetime) -> tuple[int, int]:
        self.found = Answer(transaction["idTransaction"], status, at, 0, 0, {})
        return 0, 0


@pytest.mark.parametrize(("accepted_after", "waits"), [(None, 0), (timedelta(0), 0), (timedelta(seconds=3595), 3595)])
def test_the_time_limit_runs_from_when_the_notice_was_accepted(
    monkeypatch: pytest.MonkeyPatch, accepted_after: timedelta | None, waits: float
) -> None:
    opened = datetime.now(UTC) - timedelta(hours=1)
    case = case_of(transaction(), opened, timedelta(hours=1))
    view, waited = NoAnswers(), []

    async def accepted_at(*_: object) -> datetime | None:
        return None if accepted_after is None else opened + accepted_after

    async def wait_for(awaitable: Any, seconds: float) -> Answer:
        awaitable.close()
        waited.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(triggers, "accepted_at", accepted_at)
    monkeypatch.setattr(triggers, "shared_publisher", lambda settings: view)
    monkeypatch.setattr(triggers.asyncio, "wait_for", wait_for)
    settings = Settings(confirmation_time_limit_seconds=3600)
    trigger = ConfirmationTrigger(json.dumps(case))
    answer = asyncio.run(trigger._wait(settings, view, case))
    assert answer.status == "NO_RESPONSE"
    assert sum(waited) == pytest.approx(waits, abs=30)
