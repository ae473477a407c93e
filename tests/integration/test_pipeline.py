"""One fraud from its row in a file to its resolved sensor, in the running Airflow, with a customer who answers."""

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fraudstream.cases.answers.decisions import decide
from fraudstream.cases.answers.publisher import shared_publisher
from fraudstream.cases.links.signed import Links
from fraudstream.dataset import open_source
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import FRAUD_CASES, MAILS
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.demo.customers import press
from local.demo.mails import Inbox
from local.stack.ports import Ports
from tests.integration.pipeline import good_row, in_lake, paysim

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

CONSUMERS = ("consume_fraud_transactions", "consume_fraud_confirmations")


@pytest.fixture
def consuming(airflow: AirflowApi) -> Iterator[None]:
    """Unpauses the DAGs that a fraud needs; at the end marks their runs as failed, as a user would."""
    airflow.wait_for_dags({"fraud_confirmation", *CONSUMERS})
    for dag in ("fraud_confirmation", *CONSUMERS):
        airflow.pause(dag, False)
    yield
    for dag in CONSUMERS:
        airflow.pause(dag, True)
        for run in list(airflow.runs(dag)):
            if run["state"] in {"running", "queued"}:
                airflow.end(dag, run["dag_run_id"])
    eventually(lambda: not any(airflow.count(dag, "running") for dag in CONSUMERS), "the consumers end")


@pytest.fixture(autouse=True)
def no_producer_outlives_the_brokers() -> Iterator[None]:
    """Decisions are written by a producer of this process, which would otherwise retry when the brokers are stopped."""
    yield
    shared_publisher(Settings()).close()


def eventually(found: Callable[[], Any], what: str, seconds: float = 150) -> Any:
    """Waits until `found` returns a true value, and returns it."""
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)
    return value


def mail_of(case: str, links: Links, mails: Iterable[dict[str, str]]) -> dict[str, str] | None:
    """The links in a case's mail, among the mails that arrived."""
    for mail in mails:
        if links.read(mail["fraud"].split("/")[-2]) == case:
            return mail
    return None


class Waiting:
    """A case for which a run was opened, and its sensor."""

    def __init__(self, airflow: AirflowApi, case: str) -> None:
        self._airflow = airflow
        self.case = case
        self.run, self.number = eventually(self._place, f"a DAG run for case {case}")

    def _place(self) -> tuple[str, int] | None:
        for run in self._airflow.runs("fraud_confirmation"):
            for number, opened in enumerate((run["conf"] or {}).get("cases", [])):
                if opened["idTransaction"] == self.case:
                    return run["dag_run_id"], number
        return None

    def state(self) -> str | None:
        for task in self._airflow.tasks("fraud_confirmation", self.run):
            if (task["task_id"], task["map_index"]) == ("await_confirmation", self.number):
                return str(task["state"])
        return None

    def outcome(self) -> tuple[str, str]:
        found = self._airflow.xcom("fraud_confirmation", self.run, "await_confirmation", self.number)
        return found["idTransaction"], found["status"]


@pytest.mark.usefixtures("consuming")
def test_a_click_resolves_the_waiting_sensor_and_so_does_a_person_who_may_also_correct_an_answer(
    airflow: AirflowApi, settings: Settings, lake: Store, tmp_path: Path
) -> None:
    links = Links(settings)
    path = paysim([good_row(71, fraud=1), good_row(72, fraud=1)], tmp_path)
    case, called = (f"{open_source(str(path), None).id_prefix}-{row:09d}" for row in (0, 1))
    with Inbox(Ports.from_environment().url("inbox")) as inbox, httpx.Client() as browser:
        airflow.wait("produce_transactions", airflow.trigger("produce_transactions", {"source": str(path)}), 120)
        waiting, other = Waiting(airflow, case), Waiting(airflow, called)
        eventually(lambda: waiting.state() == other.state() == "deferred", "the sensors wait")

        mail = eventually(lambda: mail_of(case, links, inbox.fraud_links()), "the fraud notice")
        press(browser, mail["fraud"], "fraud")
        press(browser, mail["not-fraud"], "not-fraud")
        eventually(lambda: waiting.state() == "success", "the sensor resolves")
        assert waiting.outcome() == (case, "REPORTED_FRAUD")
        assert airflow.state("fraud_confirmation", waiting.run) in {"running", "success"}
        lines = eventually(lambda: len(found := in_lake(lake, FRAUD_CASES, case, "status")) == 2 and found, "outcome")
        assert sorted(lines) == [(case, "PENDING"), (case, "REPORTED_FRAUD")]
        kinds = eventually(lambda: len(found := in_lake(lake, MAILS, case, "kind")) == 2 and found, "the receipt")
        assert sorted(kinds) == [(case, "fraud_notice"), (case, "receipt")]

        said = {"by": "ana", "reason": "The customer called."}
        assert decide(settings, called, "REPORTED_FRAUD", **said).superseded is None
        decided = time.monotonic()
        eventually(lambda: other.state() == "success", "the sensor resolves with the decision")
        print(f"the sensor resolved {time.monotonic() - decided:.1f} s after the decision")
        assert other.outcome() == (called, "REPORTED_FRAUD")
        assert decide(settings, case, "REPORTED_NOT_FRAUD", **said).superseded == "REPORTED_FRAUD"
        assert not decide(settings, case, "REPORTED_NOT_FRAUD", **said).written
        lines = eventually(lambda: len(found := in_lake(lake, FRAUD_CASES, case, "channel")) == 3 and found, "outcome")
        assert sorted(lines, key=str) == [(case, "LINK"), (case, "STAFF"), (case, None)]
        receipts = eventually(
            lambda: len(found := set(in_lake(lake, MAILS, case, "messageId"))) == 3 and found, "a further receipt"
        )
        assert len(receipts) == 3
        assert waiting.outcome() == (case, "REPORTED_FRAUD"), "the XCom stays what it was"
