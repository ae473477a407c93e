"""A headless Chromium, and cases of the stack, for tests of pages in a real browser."""

import re
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
from fraudstream.kafka.records import FRAUD_TRANSACTION
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.settings import Settings
from playwright.sync_api import Browser, Page, expect

from local.demo.airflow_api import AirflowApi
from local.programs.chromium import NoChromium, find_chromium, running
from local.stack.environment import airflow_login
from local.stack.ports import Ports
from tests.integration.confirmations import DAG, Desk, Run
from tests.integration.pipeline import lake_consumer, mail_consumer


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium. Stops the tests with the command to install it if there is none and it can't be installed."""
    try:
        return find_chromium(install=True)
    except NoChromium as error:
        pytest.exit(f"the browser tests need Chromium: {error}", 1)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """One Chromium for a module. Playwright runs an event loop in this thread, which would disturb other modules."""
    with running(chromium) as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a new browser context. Errors that the browser reports, except HTTP errors, fail the test."""
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
    """A page of Airflow's UI with a logged-in user."""
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


@pytest.fixture(scope="session")
def customer() -> str:
    """The customer of all cases of :func:`run`, and of no other cases."""
    return f"C{uuid.uuid4().int % 10**12}"


@pytest.fixture(scope="session")
def desk(settings: Settings, airflow: AirflowApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Opens cases for the bank and answers them for customers."""
    desk = Desk(settings, airflow, tmp_path_factory.mktemp("cases"))
    yield desk
    desk.close()


@pytest.fixture(scope="session")
def run(desk: Desk, airflow: AirflowApi, lake: Store, customer: str) -> Iterator[Run]:
    """A run with five cases, which are also in lake and mail log: the second is answered, the others wait.

    The first one must not be changed. A decision of the last one needs two people.
    """
    amounts = ("1.25", "2.25", "1200.50", "3400.00", "1000000.00")
    rows = [f"1,TRANSFER,{amount},{customer},{amount},0.00,C7,0.00,{amount},1,0" for amount in amounts]
    run = desk.open(sorted(desk.produce_rows(rows), key=lambda case: str(case["idTransaction"])))
    lake_consumer(desk.settings, lake, FRAUD_TRANSACTION).run()
    port = Ports.from_environment()["smtp"]
    mail_consumer(desk.settings, lake, FRAUD_TRANSACTION, port, threading.Event()).run()
    run.wait(run.transactions, "deferred")
    desk.answer(run.transactions[1], "not-fraud")
    run.wait([run.transactions[1]], "success")
    yield run
    airflow.end(DAG, run.name)
    airflow.pause(DAG, True)
