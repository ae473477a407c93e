"""``python -m docs.pictures``: takes the screenshots of the confirmation site and of mails in docs/images.

The site runs with the production server, on fakes of its topics. A mail is rendered as its HTML below its subject.
docs/stack_pictures.py takes the screenshots of Airflow's pages.
"""

import email
import email.policy
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html import escape
from typing import Literal

from fraudstream.cases.answers.publisher import DecidedBy
from fraudstream.cases.links.signed import Links
from fraudstream.errors import AnswerUnknown
from fraudstream.mail.customers.customer import Customer
from fraudstream.mail.letter.facts import FactsWriter
from fraudstream.mail.letter.templates import Kind, MailTemplates
from fraudstream.settings import ROOT, Settings
from fraudstream.site.metrics import Metrics
from fraudstream.site.serving import server
from fraudstream.site.site import create_app
from playwright.sync_api import Browser

from local.programs.chromium import find_chromium, running
from tests.fakes.cases import FakeAnswers, FakeCases, transaction

IMAGES = ROOT / "docs" / "images"
CASE = "e8242706ca-000001401"
ANSWERED = datetime(2023, 10, 4, 14, 12, tzinfo=UTC)
DECIDED = datetime(2023, 10, 4, 15, 3, tzinfo=UTC)
#: Width, height and pixels per point of each screen.
SCREENS = {"desktop": (1280, 800, 1), "phone": (360, 740, 2)}
#: For each language of a mail: its customer.
READERS = {
    "english": Customer("zoe@example.com", "en-GB", "Europe/London", "Zoë O'Brien"),
    "indonesian": Customer("siti@example.com", "id", "Asia/Jakarta", "Siti Rahayu"),
}
#: By name of the picture without its language: kind of mail, status of the case, and "reminder", "staff" (receipt of a
#: staff decision) or "".
MAILS: dict[str, tuple[Kind, str, str]] = {
    "mail-notice": ("fraud_notice", "", ""),
    "mail-reminder": ("fraud_notice", "", "reminder"),
    "mail-receipt": ("receipt", "REPORTED_FRAUD", ""),
    "mail-decision": ("receipt", "REPORTED_NOT_FRAUD", "staff"),
}
State = Literal["open", "recorded", "decided", "expired", "unknown"]
#: By name of the picture: state of the case, screen, language.
PICTURES: dict[str, tuple[State, str, str]] = {
    "confirmation-desktop": ("open", "desktop", "en"),
    "confirmation-phone": ("open", "phone", "en"),
    "confirmation-indonesian": ("open", "phone", "id"),
    "confirmation-recorded-desktop": ("recorded", "desktop", "en"),
    "confirmation-recorded": ("recorded", "phone", "en"),
    "confirmation-recorded-indonesian": ("recorded", "phone", "id"),
    "confirmation-decided": ("decided", "phone", "en"),
    "confirmation-decided-indonesian": ("decided", "phone", "id"),
    "confirmation-expired": ("expired", "phone", "en"),
    "confirmation-expired-indonesian": ("expired", "phone", "id"),
    "confirmation-unknown": ("unknown", "phone", "en"),
    "confirmation-unknown-indonesian": ("unknown", "phone", "id"),
}


def main() -> None:
    """Takes all screenshots."""
    with running(find_chromium()) as browser:
        for name, (state, screen, language) in PICTURES.items():
            with _site(state) as link:
                _take(browser, link, name, screen, language, press=state == "unknown")
            print(f"docs/images/{name}.png")
        for mail, (kind, status, how) in MAILS.items():
            for language, reader in READERS.items():
                _take_mail(browser, f"{mail}-{language}", kind, status, how, reader)
                print(f"docs/images/{mail}-{language}.png")


@contextmanager
def _site(state: State) -> Iterator[str]:
    """Runs the site with a case in this state; yields the link to the case."""
    cases, answers = FakeCases(), FakeAnswers()
    case = cases.add(transaction(CASE))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(
            confirmation_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            confirmation_keys=["example-key-of-the-pictures"],
            confirmation_time_limit_seconds=1 if state == "expired" else 259_200,
        )
        links = Links(settings)
        if state in ("recorded", "decided"):
            answers.append("REPORTED_FRAUD", case, ANSWERED)
        if state == "decided":
            answers.append("REPORTED_NOT_FRAUD", case, DECIDED, DecidedBy("ana", "The customer called."))
        if state == "unknown":
            answers.refuse = AnswerUnknown("the picture of it")
        serving = server(create_app(settings, cases, answers, answers, links, Metrics()))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        link = links.url(CASE, "fraud")
        while not serving.started or (state == "expired" and not links.find(link).expired):
            time.sleep(0.1)
        try:
            yield link
        finally:
            serving.should_exit = True
            thread.join()


def _take(browser: Browser, link: str, name: str, screen: str, language: str, *, press: bool) -> None:
    width, height, pixels = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=pixels, locale=language
    )
    page = context.new_page()
    page.goto(link)
    if press:
        page.get_by_role("button").first.click()
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)
    context.close()


def _take_mail(browser: Browser, name: str, kind: Kind, status: str, how: str, reader: Customer) -> None:
    settings = Settings(
        confirmation_url="https://confirm.bank.example",
        confirmation_keys=[secrets.token_urlsafe(32)],
        bank_phone="+62 21 555 0100",
        bank_currency="IDR",
    )
    row = transaction(CASE) | {"status": status, "staff": how == "staff"}
    for column in ("timestamp", "answeredAt"):
        row[column] = int((ANSWERED if column == "answeredAt" else row["timestamp"]).timestamp() * 1000)
    until = row["timestamp"] + settings.confirmation_time_limit_seconds * 1000
    facts = FactsWriter(settings, Links(settings)).facts(kind, row, until, reader, reminder=how == "reminder")
    templates = MailTemplates(settings)
    content = templates.render(kind, facts, recipient=reader.address, identity="<x@bank.example>", sent_at=ANSWERED)
    message = email.message_from_bytes(content, policy=email.policy.default)
    html = message.get_body(("html",))
    if html is None:
        raise ValueError(f"mail {name} has no HTML")
    context = browser.new_context(viewport={"width": 640, "height": 100})
    page = context.new_page()
    head = f"<p style='font:600 18px sans-serif;margin:16px 24px'>{escape(str(message['Subject']))}</p>"
    page.set_content(html.get_content().replace("<body", f"{head}<body", 1))
    page.screenshot(path=IMAGES / f"{name}.png", full_page=True)
    context.close()


if __name__ == "__main__":
    main()
