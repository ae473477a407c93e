"""One fraud from its row in a file to a resolved sensor, in the running Airflow, with a customer who clicks."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fraudstream.dataset import open_source
from fraudstream.lake.names import FRAUD_CASES, MAILS
from fraudstream.lake.store import Store

from local.demo.airflow_api import AirflowApi
from local.demo.customers import Inbox, press
from local.ports import Ports
from tests.integration.pipeline import good_row, in_lake, paysim

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

CONSUMERS = ("consume_fraud_transactions", "consume_fraud_confirmations")


@pytest.fixture
def consuming(airflow: AirflowApi) -> Iterator[None]:
    """The DAGs that a fraud needs, running; ended again as a person would, by marking their runs failed."""
    for dag in ("fraud_confirmation", *CONSUMERS):
        airflow.pause(dag, False)
    yield
    for dag in CONSUMERS:
        airflow.pause(dag, True)
        for run in list(airflow.runs(dag)):
            if run["state"] in {"running", "queued"}:
                airflow.end(dag, run["dag_run_id"])
    eventually(lambda: not any(airflow.count(dag, "running") for dag in CONSUMERS), "the consumers end")


def eventually(found: Callable[[], Any], what: str, seconds: float = 150) -> Any:
    """What `found` returns once it is true."""
    until = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {what}"
        time.sleep(1)
    return value


@pytest.mark.usefixtures("consuming")
def test_a_click_resolves_the_waiting_sensor(airflow: AirflowApi, lake: Store, tmp_path: Path) -> None:
    path = paysim([good_row(71, fraud=1)], tmp_path)
    case = f"{open_source(str(path), None).id_prefix}-000000000"
    with Inbox(Ports.from_environment().url("inbox")) as inbox, httpx.Client() as browser:
        airflow.wait("produce_transactions", airflow.trigger("produce_transactions", {"source": str(path)}), 120)

        def run_of_case() -> str | None:
            for run in airflow.runs("fraud_confirmation"):
                if any(found["idTransaction"] == case for found in (run["conf"] or {}).get("cases", [])):
                    return str(run["dag_run_id"])
            return None

        run = eventually(run_of_case, "a DAG run for the case")

        def sensor() -> dict[str, Any]:
            found = [t for t in airflow.tasks("fraud_confirmation", run) if t["task_id"] == "await_confirmation"]
            return found[0] if found else {"state": None}

        eventually(lambda: sensor()["state"] == "deferred", "the sensor waits")
        known: set[int] = set()
        mails = eventually(lambda: list(inbox.fraud_links(known)), "the fraud notice")
        press(browser, mails[0]["fraud"], "fraud")
        press(browser, mails[0]["not-fraud"], "not-fraud")
        eventually(lambda: sensor()["state"] == "success", "the sensor resolves")
        outcome = airflow.xcom("fraud_confirmation", run, "await_confirmation", sensor()["map_index"])
        assert (outcome["idTransaction"], outcome["status"]) == (case, "REPORTED_FRAUD")
        assert airflow.state("fraud_confirmation", run) in {"running", "success"}
        lines = eventually(lambda: len(found := in_lake(lake, FRAUD_CASES, case, "status")) == 2 and found, "outcome")
        assert sorted(lines) == [(case, "PENDING"), (case, "REPORTED_FRAUD")]
        kinds = eventually(lambda: len(found := in_lake(lake, MAILS, case, "kind")) == 2 and found, "the receipt")
        assert sorted(kinds) == [(case, "fraud_notice"), (case, "receipt")]
        assert inbox.count() == 2
