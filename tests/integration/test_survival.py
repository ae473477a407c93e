"""Cases wait while parts around them fail, and each gets one outcome: with real Airflow, brokers and site."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import httpx
import pytest
from bs4 import BeautifulSoup
from fraudstream.cases.answers.publisher import AnswerPublisher, Place, Status
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.stack.environment import LOGS, STACK
from local.stack.parts import stack_parts
from local.supervisor.control import Control
from tests.integration.confirmations import DAG, SENSOR, Desk, Run, Transaction, kill, start, until
from tests.integration.test_confirmation_site import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

#: Runs the site and kills it at the worst moment: Kafka has the answer, but the customer has no confirmation.
SITE_THAT_DIES = """
import os, signal, sys
from fraudstream.site import __main__ as site
from fraudstream.cases.answers.publisher import AnswerPublisher

class Dies(AnswerPublisher):
    async def publish(self, *arguments):
        await super().publish(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

site.AnswerPublisher = Dies
sys.exit(site.main())
"""


@pytest.fixture(scope="module")
def desk(settings: Settings, airflow: AirflowApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    desk = Desk(settings, airflow, tmp_path_factory.mktemp("survival"))
    yield desk
    desk.close()
    airflow.pause(DAG, True)


@pytest.fixture(scope="module")
def waiting(desk: Desk, airflow: AirflowApi) -> Iterator[Run]:
    """A run whose cases wait during all of these tests; each test uses its own cases."""
    transactions = desk.produce(24)
    run = desk.open(transactions)
    run.wait(transactions, "deferred")
    yield run
    if run.state() == "running":
        airflow.end(DAG, run.name)


@pytest.fixture
def control(stack: Mapping[str, str]) -> Iterator[Control]:
    """Controls the stack's parts; all run again afterwards."""
    control = Control(STACK, LOGS)
    yield control
    control.up(stack_parts(print), lambda parts: None)


def resolved(run: Run, desk: Desk, cases: list[Transaction], status: str, seconds: float = 90) -> None:
    """Checks that each of these cases has this outcome, and that the topic has one answer for it."""
    run.wait(cases, "success", seconds)
    assert [run.outcome(case)["status"] for case in cases] == [status] * len(cases)
    assert [desk.answers(case) for case in cases] == [[status]] * len(cases)


def test_a_click_before_the_run_exists_resolves_its_sensor_and_the_run_ends(desk: Desk) -> None:
    transactions = desk.produce(2)
    desk.insist(transactions[0], "fraud")
    run = desk.open(transactions)
    resolved(run, desk, transactions[:1], "REPORTED_FRAUD")
    run.wait(transactions[1:], "deferred")
    desk.answer(transactions[1], "not-fraud")
    resolved(run, desk, transactions[1:], "REPORTED_NOT_FRAUD")
    until(lambda: run.state() == "success", 60, "the run ends")


def test_an_answer_to_an_unknown_case_disturbs_nobody(waiting: Run, desk: Desk) -> None:
    (case,) = waiting.take(1)
    stranger = case | {"idTransaction": f"unknown-{case['idTransaction']}"}
    publish(desk.settings, [(stranger, "REPORTED_FRAUD")])
    desk.answer(case, "not-fraud")
    resolved(waiting, desk, [case], "REPORTED_NOT_FRAUD")
    assert desk.answers(stranger) == ["REPORTED_FRAUD"], "it is kept"


def test_a_sensor_that_is_cleared_finds_its_answer_again_and_one_that_waits_goes_on_waiting(
    waiting: Run, desk: Desk, airflow: AirflowApi
) -> None:
    answered, silent = waiting.take(2)
    desk.answer(answered, "fraud")
    waiting.wait([answered], "success")
    before = waiting.outcome(answered)
    tries = {case: sensor["try_number"] for case, sensor in waiting.sensors().items()}

    airflow.clear(DAG, waiting.name, *((SENSOR, waiting.number(case)) for case in (answered, silent)))

    def again(case: Transaction) -> bool:
        sensor = waiting.sensors()[case["idTransaction"]]
        return bool(sensor["try_number"] > tries[case["idTransaction"]])

    until(lambda: again(answered) and again(silent), 60, "both sensors start again")
    waiting.wait([answered], "success")
    assert waiting.outcome(answered) == before
    waiting.wait([silent], "deferred")
    desk.answer(silent, "not-fraud")
    resolved(waiting, desk, [silent], "REPORTED_NOT_FRAUD")
    assert desk.answers(answered) == ["REPORTED_FRAUD"]


def test_a_customer_who_never_heard_back_because_the_site_was_killed_tries_again_and_there_is_one_outcome(
    waiting: Run, desk: Desk, stack: Mapping[str, str]
) -> None:
    (case,) = waiting.take(1)
    public, private = free_port(), free_port()
    environment = {
        **os.environ,
        **stack,
        "FRAUDSTREAM_CONFIRMATION_BIND": f"127.0.0.1:{public}",
        "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND": f"127.0.0.1:{private}",
    }
    link = desk.link(case, "fraud")
    with subprocess.Popen([sys.executable, "-c", SITE_THAT_DIES], env=environment) as site:
        until(lambda: ready(private), 60, "the site is ready")
        dying = link.replace(desk.settings.confirmation_url, f"http://127.0.0.1:{public}")
        page = BeautifulSoup(httpx.get(dying).text, "html.parser").find("input", attrs={"name": "page"})
        assert page is not None
        with pytest.raises(httpx.TransportError):
            httpx.post(dying, data={"page": str(page["value"]), "answer": "fraud"}, timeout=30)
        assert site.wait(10) == -9

    desk.answer(case, "not-fraud")  # the customer changes their mind before the sensor ends: too late

    resolved(waiting, desk, [case], "REPORTED_FRAUD")
    assert "You reported this payment as fraud" in httpx.get(link).text


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=10).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def test_a_lost_broker_costs_no_answer(waiting: Run, desk: Desk, control: Control) -> None:
    cases = waiting.take(4)
    kill(control, "kafka-2")
    for case in cases:  # the cases are in several partitions, some of which have lost their leader
        desk.insist(case, "fraud")
    waiting.wait(cases, "success")
    assert [waiting.outcome(case)["status"] for case in cases] == ["REPORTED_FRAUD"] * 4
    assert all(set(desk.answers(case)) == {"REPORTED_FRAUD"} for case in cases)
    start(control, "kafka-2")


def test_answers_are_taken_while_the_scheduler_is_away_and_after_its_restart(
    waiting: Run, desk: Desk, control: Control
) -> None:
    before, after = waiting.take(2), waiting.take(2)
    control.command("stop", "airflow-scheduler")
    for case in before:
        desk.answer(case, "not-fraud")
    resolved(waiting, desk, before, "REPORTED_NOT_FRAUD")
    start(control, "airflow-scheduler")
    waiting.wait(after, "deferred")
    for case in after:
        desk.answer(case, "fraud")
    resolved(waiting, desk, after, "REPORTED_FRAUD")


def test_cases_and_answers_outlive_a_triggerer_that_is_killed(waiting: Run, desk: Desk, control: Control) -> None:
    meanwhile, after = waiting.take(3), waiting.take(2)
    kill(control, "airflow-triggerer")
    for case in meanwhile:
        desk.answer(case, "fraud")
    start(control, "airflow-triggerer")
    for case in after:
        desk.answer(case, "not-fraud")
    resolved(waiting, desk, meanwhile, "REPORTED_FRAUD")
    resolved(waiting, desk, after, "REPORTED_NOT_FRAUD")


def test_a_thousand_answers_at_once_give_each_case_its_first_one(desk: Desk) -> None:
    transactions = desk.produce(100)
    run = desk.open(transactions)
    run.wait(transactions, "deferred")
    statuses: tuple[Status, ...] = ("REPORTED_FRAUD", "REPORTED_NOT_FRAUD") * 5
    answers = [(case, status) for status in statuses for case in transactions]

    places = publish(desk.settings, answers)

    assert len(set(places)) == 1_000
    run.wait(transactions, "success", 120)
    first: dict[str, tuple[Place, Status]] = {}
    for place, (case, status) in sorted(zip(places, answers, strict=True), key=lambda answer: answer[0]):
        first.setdefault(case["idTransaction"], (place, status))
    for case in transactions[::5]:
        outcome = run.outcome(case)
        assert ((outcome["partition"], outcome["offset"]), outcome["status"]) == first[case["idTransaction"]]


def test_a_burst_of_answers_while_a_triggerer_hands_over_new_cases_stops_neither(desk: Desk, control: Control) -> None:
    bursts, new = [desk.produce(200), desk.produce(200)], desk.produce(60)
    runs = [desk.open(burst) for burst in bursts]
    for run in runs:
        run.wait(run.transactions, "deferred")
    supervisor = next(part.pid for part in control.status() if part.name == "airflow-triggerer")
    assert supervisor is not None

    # As if the supervisor were busy with successes of others: it has the new cases, and its runner waits for them.
    os.kill(supervisor, signal.SIGSTOP)
    try:
        later = desk.open(new)
        later.wait(new, "deferred")
        os.kill(supervisor, signal.SIGCONT)
        until(lambda: any(s["triggerer_job"] for s in later.sensors().values()), 30, "the triggerer takes a new case")
        os.kill(supervisor, signal.SIGSTOP)
        time.sleep(3)
        publish(desk.settings, [(case, "REPORTED_FRAUD") for burst in bursts for case in burst])
        time.sleep(3)  # the runner learns of them and logs it, but nobody reads its log
    finally:
        os.kill(supervisor, signal.SIGCONT)

    for run in runs:
        run.wait(run.transactions, "success")
    publish(desk.settings, [(case, "REPORTED_NOT_FRAUD") for case in new])
    later.wait(new, "success")


def publish(settings: Settings, answers: list[tuple[Transaction, Status]]) -> list[Place]:
    """Writes answers to the topic directly, all at once."""

    async def all_at_once() -> list[Place]:
        now = datetime.now(UTC)
        with AnswerPublisher(settings) as publisher:
            return await asyncio.gather(*(publisher.publish(status, case, now) for case, status in answers))

    return asyncio.run(all_at_once())
