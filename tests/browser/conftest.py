"""A real Chromium, headless."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from local.chromium import NoChromium, find_chromium, running
from local.environment import airflow_login
from local.ports import Ports


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium; stops the tests with the line to type where there is none and none can be installed."""
    try:
        return find_chromium(install=True)
    except NoChromium as error:
        pytest.exit(f"the browser tests need Chromium: {error}", 1)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for a module: Playwright runs an event loop in this thread, which other tests need free."""
    with running(chromium) as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address as a new visitor; what the browser complains about, but an error's status, fails the test."""
    complaints: list[str] = []

    def complain(text: str) -> None:
        if not text.startswith("Failed to load resource: the server responded with a status of"):
            complaints.append(text)

    contexts = []

    def open_page(url: str, width: int = 1280, height: int = 800, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def airflow_ui(browser: Browser) -> Iterator[Page]:
    """A page of Airflow's UI, of somebody who is logged in."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    page = context.new_page()
    page.goto(Ports.from_environment().url("airflow"))
    user, password = airflow_login()
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("button[type=submit]").click()
    page.wait_for_url(re.compile(r"^((?!login).)*$"))
    yield page
    context.close()
    expect.set_options(timeout=5_000)
