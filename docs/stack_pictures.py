"""``python -m docs.stack_pictures``: takes screenshots of the pages Pipeline and Cases of a running stack.

The stack must have cases, and one of them must be answered: `make up`, then `make demo` in another terminal.
"""

import re

from fraudstream.settings import ROOT
from playwright.sync_api import FrameLocator, Page, expect

from local.programs.chromium import find_chromium, running
from local.stack.environment import airflow_login
from local.stack.ports import Ports

IMAGES = ROOT / "docs" / "images"
WIDTH = 1000


def main() -> None:
    """Takes the three screenshots."""
    url = Ports.from_environment().url("airflow")
    with running(find_chromium()) as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": 800})
        page.set_default_timeout(30_000)
        _log_in(page, url)
        _open(page, url, "Pipeline")
        _take(page, "airflow-pipeline", 980)
        cases = _open(page, url, "Cases")
        for state in ("answered", "decided"):
            cases.get_by_label(state, exact=True).check()
        cases.get_by_role("button", name="Filter").click()
        expect(cases.get_by_text(re.compile("answered: (fraud|not fraud)")).first).to_be_visible()
        _take(page, "airflow-desk", 800)
        row = cases.get_by_role("row").filter(has_text=re.compile("answered: (fraud|not fraud)")).first
        row.get_by_role("link").first.click()
        expect(cases.get_by_role("heading", name="Time line")).to_be_visible()
        _take(page, "airflow-desk-case", 1400)


def _log_in(page: Page, url: str) -> None:
    page.goto(url)
    user, password = airflow_login()
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    page.wait_for_url(re.compile(r"^((?!login).)*$"))


def _open(page: Page, url: str, name: str) -> FrameLocator:
    """Opens a page of Airflow's navigation and returns its frame."""
    page.goto(url)
    page.get_by_role("link", name=name, exact=True).click()
    frame = page.frame_locator(f"iframe[title={name}]")
    expect(frame.get_by_role("heading", name=name, exact=True)).to_be_visible()
    return frame


def _take(page: Page, name: str, height: int) -> None:
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.wait_for_timeout(500)  # until Airflow's page has adapted to the new size
    page.screenshot(path=IMAGES / f"{name}.png")
    print(f"docs/images/{name}.png")


if __name__ == "__main__":
    main()
