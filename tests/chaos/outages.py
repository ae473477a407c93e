"""Long outages while cases wait, on the whole stack. ``make chaos`` runs them after its own round.

The file's name keeps them out of ``make test``, where tests/integration/test_survival.py tests short outages.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.demo.customers import CustomerError
from local.stack.environment import LOGS, STACK
from local.stack.parts import stack_parts
from local.stack.services import BROKERS
from local.supervisor.control import Control
from tests.integration.confirmations import Desk, kill, start, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

AWAY_SECONDS = 60.0


@pytest.fixture
def desk(settings: Settings, airflow: AirflowApi, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(settings, airflow, tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def control(stack: Mapping[str, str]) -> Iterator[Control]:
    """Controls the stack's parts; all run again afterwards."""
    control = Control(STACK, LOGS)
    yield control
    control.up(stack_parts(print), lambda parts: None)


def test_cases_wait_through_a_minute_without_kafka_and_no_page_says_recorded(desk: Desk, control: Control) -> None:
    transactions = desk.produce(6)
    expiring, waiting, opened_meanwhile = transactions[:2], transactions[2:5], transactions[5:]
    expired = desk.open(expiring, timedelta(seconds=AWAY_SECONDS / 2))
    run = desk.open(waiting)
    for one, cases in ((expired, expiring), (run, waiting)):
        one.wait(cases, "deferred")

    kill(control, *BROKERS)
    away = time.monotonic()
    with pytest.raises(CustomerError, match="503"):
        desk.answer(waiting[0], "fraud")
    late = desk.open(opened_meanwhile)
    until(lambda: time.monotonic() - away > AWAY_SECONDS, 2 * AWAY_SECONDS, "a minute passes")
    for one, cases in ((expired, expiring), (run, waiting)):
        assert {sensor["state"] for sensor in one.sensors().values()} == {"deferred"}, cases
    start(control, *BROKERS)

    for case in [*waiting, *opened_meanwhile]:
        desk.insist(case, "not-fraud", 120)
    run.wait(waiting, "success", 120)
    late.wait(opened_meanwhile, "success", 120)
    expired.wait(expiring, "success", 120)
    assert {run.outcome(case)["status"] for case in waiting[1:]} == {"REPORTED_NOT_FRAUD"}
    # The answer given during Kafka's outage may have reached Kafka after all: then it was the first one.
    first = desk.answers(waiting[0])[0]
    assert run.outcome(waiting[0])["status"] == first
    assert {expired.outcome(case)["status"] for case in expiring} == {"NO_RESPONSE"}


def test_of_two_triggerers_the_one_left_takes_over_what_the_killed_one_held(
    desk: Desk, control: Control, airflow: AirflowApi, stack: Mapping[str, str], tmp_path: Path
) -> None:
    transactions = desk.produce(40)
    run = desk.open(transactions[:20])
    run.wait(transactions[:20], "deferred")
    with another_triggerer(stack, tmp_path / "triggerer.log"):
        until(lambda: triggerers(airflow) == 2, 60, "two triggerers are alive")
        second = desk.open(transactions[20:])
        second.wait(transactions[20:], "deferred")
        kill(control, "airflow-triggerer")
        for one, cases in ((run, transactions[:20]), (second, transactions[20:])):
            for case in cases[:5]:
                desk.answer(case, "fraud")
            one.wait(cases[:5], "success", 120)
            assert {one.outcome(case)["status"] for case in cases[:5]} == {"REPORTED_FRAUD"}
            assert [desk.answers(case) for case in cases[:5]] == [["REPORTED_FRAUD"]] * 5
            one.wait(cases[5:], "deferred")


@contextmanager
def another_triggerer(stack: Mapping[str, str], log: Path) -> Iterator[None]:
    """Runs a second triggerer in addition to the stack's own, as docs/deploy.md describes."""
    command = [str(Path(sys.executable).with_name("airflow")), "triggerer", "--skip-serve-logs"]
    with log.open("wb") as output, subprocess.Popen(command, env=dict(stack), stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def triggerers(airflow: AirflowApi) -> int:
    """The number of triggerers that Airflow considers alive."""
    # Airflow filters only the page that it has read, so its total_entries also counts triggerers that have ended.
    newest = airflow.get("/api/v2/jobs", job_type="TriggererJob", is_alive=True, order_by="-latest_heartbeat")
    return len(newest["jobs"])
