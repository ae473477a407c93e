"""Simulated customers. Each opens a link of the mail and presses a button: at once, after a reminder, or never.

One customer uses a real browser if there is one. The others send a browser's HTTP requests.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx
from bs4 import BeautifulSoup, Tag
from fraudstream.errors import FraudstreamError
from playwright.sync_api import Error as PlaywrightError

from local.demo.mails import Links
from local.programs.chromium import running


class Habit(NamedTuple):
    """The buttons that a customer presses, one after the other; `late`: only after a reminder."""

    presses: tuple[str, ...] = ()
    late: bool = False


#: What ten successive customers do, if they receive their mails.
HABITS = (
    Habit(("fraud",)),
    Habit(("not-fraud",)),
    Habit(("fraud",)),
    Habit(("fraud",), late=True),
    Habit(("fraud",)),
    Habit(),
    Habit(("fraud", "not-fraud")),
    Habit(("fraud",)),
    Habit(("not-fraud", "not-fraud")),
    Habit(("not-fraud",), late=True),
)
#: One customer in ten has no mailbox: the fourth of each ten frauds in the file.
NO_MAILBOX = slice(3, None, 10)


class CustomerError(FraudstreamError):
    """The confirmation page didn't answer as a customer expects."""


def habits_of(cases: Sequence[str]) -> dict[str, Habit]:
    """Assigns a habit to the customer of each case, in turn; `cases` are in the order of their mails."""
    return {case: HABITS[number % len(HABITS)] for number, case in enumerate(cases)}


def answer_all(mails: Sequence[Links], habits: Sequence[Habit], chromium: str | None) -> tuple[int, str | None]:
    """Lets every customer act; the first one uses the browser `chromium`, if it isn't None.

    Returns how many did nothing or were too late, and the heading of the browser's last page.

    :raises CustomerError: a page isn't as expected
    """
    with httpx.Client(timeout=30) as client, ThreadPoolExecutor(4) as customers:

        def act(mail: Links, habit: Habit) -> bool:
            pressed = [press(client, mail[answer], answer) for answer in habit.presses]
            return any(pressed)

        if chromium is None or not mails:
            return list(customers.map(act, mails, habits)).count(False), None
        (answer,) = habits[0].presses
        first = customers.submit(press_in_browser, chromium, mails[0][answer], answer)
        others = list(customers.map(act, mails[1:], habits[1:]))
        pressed, said = first.result()
        return [pressed, *others].count(False), said


def press_in_browser(chromium: str, link: str, answer: str) -> tuple[bool, str]:
    """Opens a link in a real browser and presses the button of an answer, if the page still offers one.

    Returns whether it pressed the button, and the heading of the last page.

    :raises CustomerError: a page doesn't load, or pressing the button shows no outcome
    """
    try:
        with running(chromium) as browser:
            page = browser.new_page(viewport={"width": 360, "height": 740})
            page.set_default_timeout(30_000)
            page.goto(link)
            button = page.locator(f"button[name=answer][value={answer}]")
            offered = button.count() == 1
            if offered:
                button.click()
                page.locator("section.outcome").wait_for()
            return offered, page.locator("h1").inner_text()
    except PlaywrightError as error:
        raise CustomerError(f"the confirmation page doesn't work in Chromium: {error}") from error


def press(browser: httpx.Client, link: str, answer: str) -> bool:
    """Opens a link and presses the button of an answer, if the page still offers one.

    Returns False if the case's time was up.

    :raises CustomerError: the page or the answer to the button has an unexpected HTTP status
    """
    page = browser.get(link)
    if page.status_code == httpx.codes.GONE:
        return False
    form = BeautifulSoup(page.text, "html.parser").find("form")
    if page.status_code != httpx.codes.OK:
        raise CustomerError(f"the confirmation page answers HTTP {page.status_code} to a link from a mail")
    if not isinstance(form, Tag):
        return True  # answered before: the page shows what was recorded
    fields = {str(field["name"]): str(field["value"]) for field in form.find_all("input", type="hidden")}
    confirmed = browser.post(link, data=fields | {"answer": answer}, follow_redirects=True)
    if confirmed.status_code == httpx.codes.GONE:
        return False  # the case's time ran out while the page was open
    if confirmed.status_code != httpx.codes.OK:
        raise CustomerError(f"the confirmation page answers HTTP {confirmed.status_code} to a pressed button")
    return True
