"""The page "Pipeline" in Airflow's UI."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from local.demo.airflow_api import AirflowApi
from local.ports import Ports

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def url(airflow: AirflowApi) -> str:
    """Airflow's address."""
    return Ports.from_environment().url("airflow")


def test_nobody_reads_it_without_a_login(url: str) -> None:
    assert httpx.get(f"{url}/fraudstream/pipeline", timeout=60).status_code == httpx.codes.UNAUTHORIZED


def test_it_is_in_the_navigation_and_has_the_theme_that_is_chosen_there(airflow_ui: Page, url: str) -> None:
    airflow_ui.goto(url)
    airflow_ui.get_by_role("link", name="Pipeline", exact=True).click()
    page = airflow_ui.frame_locator("iframe[title=Pipeline]")
    expect(page.get_by_role("heading", name="Pipeline", exact=True)).to_be_visible()
    body = page.locator("body")
    for theme, ground in (("dark", "rgb(17, 19, 23)"), ("light", "rgb(255, 255, 255)")):
        airflow_ui.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        expect(body).to_have_css("background-color", ground)
