"""Simulated customers: each opens a link of the mail and presses a button, at once, after a reminder, or never.

One of them does it in a real browser where there is one, the others over HTTP as a browser would.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import httpx
from bs4 import BeautifulSoup, Tag
from fraudstream.errors import FraudstreamError
from playwright.sync_api import Error as PlaywrightError

from local.chromium import running
from local.demo.mails import Links


class Habit(NamedTuple):
    """The buttons that a customer presses, one after the other, and whether only after a reminder."""

    presses: tuple[str, ...] = ()
    late: bool = False


#: What ten customers in a row do, if they get their mails.
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
    """A page or mail wasn't what a customer expects."""


def habits_of(cases: Sequence[str]) -> dict[str, Habit]:
    """What the customer of each case does; the cases in the order of their mails."""
    return {case: HABITS[number % len(HABITS)] for number, case in enumerate(cases)}


def answer_all(mails: Sequence[Links], habits: Sequence[Habit], chromium: str | None) -> tuple[int, str | None]:
    """Lets every customer act, the first one in `chromium` if there is one.

    Returns how many did nothing, or came too late, and what the browser's page said in the end.

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

    Returns whether it did, and the heading of the last page.

    :raises CustomerError: there is no page that says what is recorded
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
    """Opens a link and presses the button of an answer, if the page still offers one; False: its time was up.

    :raises CustomerError: the page can't be read, or the answer isn't confirmed
    """
    page = browser.get(link)
    if page.status_code == httpx.codes.GONE:
        return False
    form = BeautifulSoup(page.text, "html.parser").find("form")
    if page.status_code != httpx.codes.OK:
        raise CustomerError(f"the confirmation page answers {page.status_code} where a link from a mail was opened")
    if not isinstance(form, Tag):
        return True  # answered before: the page shows what was recorded
    fields = {str(field["name"]): str(field["value"]) for field in form.find_all("input", type="hidden")}
    confirmed = browser.post(link, data=fields | {"answer": answer}, follow_redirects=True)
    if confirmed.status_code == httpx.codes.GONE:
        return False  # its time ran out while the page was open
    if confirmed.status_code != httpx.codes.OK:
        raise CustomerError(f"the confirmation page answers {confirmed.status_code} to a button")
    return True
