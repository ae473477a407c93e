"""What Airflow's own UI shows of a waiting case: a tab on the sensor's page, a tab on the run's page, log and XCom."""

import re
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest
from fraudstream import money
from playwright.sync_api import Page, expect

from local.demo.airflow_api import AirflowApi
from local.stack.ports import Ports
from tests.integration.confirmations import DAG, SENSOR, Run

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def ui(airflow_ui: Page, run: Run) -> Callable[[str], Page]:
    """Opens a page below the run's page in Airflow's UI, as a logged-in user."""
    url = Ports.from_environment().url("airflow")

    def open_page(path: str) -> Page:
        airflow_ui.goto(f"{url}/dags/{DAG}/runs/{quote(run.name, safe='')}{path}")
        return airflow_ui

    return open_page


def test_the_sensors_page_has_a_tab_with_the_case_that_it_waits_for(ui: Callable[[str], Page], run: Run) -> None:
    waits = run.transactions[0]
    page = ui(f"/tasks/{SENSOR}/mapped/0")
    page.get_by_role("link", name="Case", exact=True).click()
    case = page.frame_locator("iframe[title=Case]")
    expect(case.get_by_role("heading")).to_have_text(f"Transfer of {money.shown(waits['amount'])}")
    expect(case.get_by_text("Waits for its customer")).to_be_visible()
    terms = dict(zip(case.locator("dt").all_inner_texts(), case.locator("dd").all_inner_texts(), strict=True))
    assert terms["Transaction"] == waits["idTransaction"]
    assert (terms["From"], terms["To"]) == (waits["nameOrig"], waits["nameDest"])
    assert terms["Amount"] == money.shown(waits["amount"])
    for moment in (terms["Waits since"], terms["Waits until"].removesuffix(" or later")):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", moment)
    assert terms["Waits since"] < terms["Waits until"]


def test_once_it_is_answered_the_tab_says_so_and_the_runs_tab_lists_all(ui: Callable[[str], Page], run: Run) -> None:
    page = ui("")
    of_the_run = page.locator("a[href*='/runs/']")  # the navigation also has a page Cases
    page.get_by_role("link", name="Cases", exact=True).and_(of_the_run).click()
    cases = page.frame_locator("iframe[title=Cases]")
    waiting = [sensor for sensor in run.sensors().values() if sensor["state"] == "deferred"]
    expect(cases.get_by_role("heading")).to_have_text("5 cases")
    expect(cases.get_by_text(f"Waits for its customer: {len(waiting)}")).to_be_visible()
    cases.get_by_role("link", name=run.transactions[1]["idTransaction"]).click()
    expect(cases.get_by_role("link", name="All cases of this run")).to_be_visible()  # the case's page is loaded
    expect(cases.get_by_text("Not fraud: the customer confirmed it")).to_be_visible()
    expect(cases.get_by_text(re.compile(r"partition \d+, offset \d+ of topic fraud_confirmation"))).to_be_visible()


def test_the_log_of_a_sensor_that_waits_names_its_case(ui: Callable[[str], Page], run: Run) -> None:
    page = ui(f"/tasks/{SENSOR}/mapped/0")
    expect(page.get_by_text(f"case {run.transactions[0]['idTransaction']}: TRANSFER of ")).to_be_visible()


def test_the_log_of_a_resolved_sensor_tells_the_outcome(ui: Callable[[str], Page], run: Run) -> None:
    page = ui(f"/tasks/{SENSOR}/mapped/1")
    outcome = f"case {run.transactions[1]['idTransaction']} is REPORTED_NOT_FRAUD, answered at "
    expect(page.get_by_text(outcome)).to_be_visible()


def test_other_tasks_have_no_case_and_nobody_reads_one_without_a_login(run: Run, airflow: AirflowApi) -> None:
    url = f"{Ports.from_environment().url('airflow')}/fraudstream/case"
    query = {"dag_id": DAG, "run_id": run.name, "task_id": SENSOR, "map_index": "0"}
    assert httpx.get(url, params=query).status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(f"{url}s", params=query).status_code == httpx.codes.UNAUTHORIZED
    pages = {
        "sensor": query,
        "other task": query | {"task_id": "cases", "map_index": "-1"},
        "other DAG": query | {"dag_id": "audit_lake"},
        "no such case": query | {"map_index": "5"},
        "no such run": query | {"run_id": "<script>"},
    }
    found = {what: airflow.page("/fraudstream/case", asked) for what, asked in pages.items()}
    assert {what: page.status_code for what, page in found.items()} == {
        **dict.fromkeys(("sensor", "other task", "other DAG"), 200),
        **dict.fromkeys(("no such case", "no such run"), 404),
    }
    assert "Only runs of the DAG fraud_confirmation have cases" in found["other task"].text
    assert found["other DAG"].text == found["other task"].text
    assert "script-src" not in found["sensor"].headers["content-security-policy"]
    assert "<script" not in found["sensor"].text
