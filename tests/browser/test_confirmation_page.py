"""The confirmation page in a real Chromium, on a phone and on a desktop."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fraudstream.cases.links.signed import Links
from fraudstream.settings import Settings
from fraudstream.site.metrics import Metrics
from fraudstream.site.serving import server
from fraudstream.site.site import create_app
from fraudstream.texts import Text, texts_of, time_text
from playwright.sync_api import Page, expect

from local.demo.customers import HABITS, answer_all
from tests.fakes.cases import FakeAnswers, FakeCases, transaction

pytestmark = pytest.mark.browser

WIDTHS = pytest.mark.parametrize("width", [360, 1280])
Visit = Callable[..., Page]

#: Computes the contrast of each text with its background by WCAG's formula. Large or bold text needs 3, other text 4.5.
CONTRASTS = """
() => {
  const channels = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = (c) => {
    const [r, g, b] = channels(c).slice(0, 3).map((v) => v / 255).map(
      (v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (channels(c)[3] !== 0) return c;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
    .map((e) => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
      return [e.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
    });
}
"""


def english() -> Text:
    return texts_of(Settings())["en"]


class Site:
    """Runs the site on a loopback port, with cases and answers in memory."""

    def __init__(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        settings = Settings(
            confirmation_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            confirmation_requests_per_minute=100_000,
            confirmation_keys=["example-key-of-the-browser-tests"],
        )
        self.cases, self.answers, self.links = FakeCases(), FakeAnswers(), Links(settings)
        self.cases.add(transaction())
        app = create_app(settings, self.cases, self.answers, self.answers, self.links, Metrics())
        self._server = server(app)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._listener = listener

    def url(self, answer: Any = "fraud", case: str = "case-1") -> str:
        return self.links.url(case, answer)

    def __enter__(self) -> "Site":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._listener.close()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


@WIDTHS
def test_the_page_fits_the_screen_and_its_buttons_a_thumb(site: Site, visit: Visit, width: int) -> None:
    page = visit(site.url(), width)
    expect(page.get_by_role("heading", level=1)).to_have_text("Did you make this payment?")
    for shown in ("181,983.43", "C553264065", "4 October 2023, 14:00 UTC", "case-1"):
        expect(page.get_by_text(shown, exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 48
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


@WIDTHS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_aa_asks_for(site: Site, visit: Visit, width: int, scheme: str) -> None:
    page = visit(site.url(), width, color_scheme=scheme)
    asked = page.evaluate(CONTRASTS)
    page.get_by_role("button").first.click()
    recorded = page.evaluate(CONTRASTS)
    page.goto(site.url().replace("/confirm/", "/confirm/x"))
    refused = page.evaluate(CONTRASTS)
    assert len(asked) > 15
    assert len(recorded) > 15
    assert len(refused) > 4
    assert [text for text in asked + recorded + refused if text[1] < 4.5] == []


@pytest.mark.parametrize(
    ("locale", "spoken"),
    [
        (
            "en-GB",
            [
                'link "Skip to the content"',
                'heading "Did you make this payment?" [level=1]',
                'region "The payment"',
                "term: Amount",
                "definition: 181,983.43",
                'form "Your answer"',
                'button "No, report fraud We look into it."',
                'button "Yes, it was me The payment stays as it is."',
            ],
        ),
        (
            "id-ID",
            [
                'link "Langsung ke isi"',
                'heading "Apakah Anda melakukan pembayaran ini?" [level=1]',
                'region "Pembayaran"',
                "term: Jumlah",
                "definition: 181.983,43",
                'form "Jawaban Anda"',
                'button "Bukan, laporkan penipuan Kami akan memeriksanya."',
                'button "Ya, itu saya Pembayaran tetap seperti semula."',
            ],
        ),
    ],
)
def test_a_screen_reader_is_told_all_of_it_in_order(site: Site, visit: Visit, locale: str, spoken: list[str]) -> None:
    told = visit(site.url(), locale=locale).locator("body").aria_snapshot()
    places = [told.find(part) for part in spoken]
    assert -1 not in places, told
    assert places == sorted(places)


def test_an_expired_link_says_what_to_do(site: Site, visit: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: now - 73 * 3600)
        link = site.url()
    page = visit(link, 360)
    expect(page.get_by_role("heading", level=1)).to_have_text("This link is no longer valid")
    expect(page.get_by_text("call us at the number on the back of your card").first).to_be_visible()
    assert page.get_by_role("button").count() == 0


@WIDTHS
@pytest.mark.parametrize("javascript", [True, False])
def test_a_click_records_the_answer_and_says_so(site: Site, visit: Visit, width: int, javascript: bool) -> None:
    page = visit(site.url("fraud"), width, java_script_enabled=javascript)
    page.get_by_role("button", name="No, report fraud").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You reported this payment as fraud")
    assert [a.status for a in site.answers.log] == ["REPORTED_FRAUD"]


def test_opening_and_waiting_changes_nothing_even_for_a_scanner_that_runs_scripts(site: Site, visit: Visit) -> None:
    for answer in ("fraud", "not-fraud"):
        page = visit(site.url(answer))
        page.wait_for_load_state("networkidle")
        page.mouse.wheel(0, 2_000)
        page.evaluate("document.querySelectorAll('a').forEach((link) => link.click())")
        page.reload()
        page.wait_for_timeout(300)
    assert site.answers.log == []


def test_a_second_visitor_sees_what_was_recorded(site: Site, visit: Visit) -> None:
    visit(site.url("not-fraud")).get_by_role("button", name="Yes, it was me").click()
    second = visit(site.url("fraud"), 360)
    expect(second.get_by_role("heading", level=1)).to_have_text("You confirmed this payment")
    expect(second.get_by_text("It was me", exact=True)).to_be_visible()
    expect(second.locator("section.outcome time")).to_have_text(
        time_text(site.answers.log[0].answered_at, english(), "UTC")
    )
    assert second.get_by_role("button").count() == 0
    assert len(site.answers.log) == 1


def test_the_loser_of_a_race_and_a_reload_are_shown_the_first_answer(site: Site, visit: Visit) -> None:
    first, second = visit(site.url("fraud")), visit(site.url("not-fraud"))
    first.get_by_role("button", name="No, report fraud").click()
    second.get_by_role("button", name="Yes, it was me").click()
    for page in (first, second):
        expect(page.get_by_role("heading", level=1)).to_have_text("You reported this payment as fraud")
    assert len(site.answers.log) == 1


def test_a_tab_that_is_reloaded_or_restored_after_an_answer_posts_nothing(site: Site, visit: Visit) -> None:
    page = visit(site.url("fraud"))
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="No, report fraud").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You reported this payment as fraud")
    restored = page.context.new_page()
    restored.goto(page.url)
    page.reload()
    page.go_back()
    page.go_forward()
    for shown in (page, restored):
        expect(shown.get_by_role("heading", level=1)).to_have_text("You reported this payment as fraud")
    assert len(posts) == 1
    assert len(site.answers.log) == 1


def test_a_link_that_a_mail_client_damaged_takes_an_answer(site: Site, visit: Visit) -> None:
    page = visit("about:blank")
    damages = (">", ").", "\u200b", "%3E%20", "/", '"', "?utm_campaign=" + "x" * 5_000, "=\r\n", "\\")
    for number, behind in enumerate(damages):
        site.cases.add(transaction(f"damaged-{number}"))
        page.goto(site.url("not-fraud", f"damaged-{number}") + behind)
        page.get_by_role("button", name="Yes, it was me").click()
        expect(page.get_by_role("heading", level=1), repr(behind)).to_have_text("You confirmed this payment")
    answered = [(answer.id_transaction, answer.status) for answer in site.answers.log]
    assert answered == [(f"damaged-{number}", "REPORTED_NOT_FRAUD") for number in range(len(damages))]


def test_a_link_without_its_answer_proposes_none(site: Site, visit: Visit) -> None:
    page = visit(site.url("fraud").rpartition("/")[0], 360)
    assert page.get_by_role("button").count() == 2
    assert page.locator("button.proposed").count() == 0
    page.get_by_role("button", name="Yes, it was me").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You confirmed this payment")


def test_it_works_by_keyboard_alone_with_the_focus_in_sight(site: Site, visit: Visit) -> None:
    page = visit(site.url("not-fraud"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Tab")
    proposed = page.get_by_role("button", name="Yes, it was me")
    expect(proposed).to_be_focused()
    assert proposed.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("You confirmed this payment")


def test_an_indonesian_browser_gets_indonesian(site: Site, visit: Visit) -> None:
    page = visit(site.url(), 360, locale="id-ID")
    expect(page.locator("html")).to_have_attribute("lang", "id")
    expect(page.get_by_role("heading", level=1)).to_have_text("Apakah Anda melakukan pembayaran ini?")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_another_sites_form_cannot_answer_for_the_customer(site: Site, visit: Visit) -> None:
    page = visit(site.url())
    token = page.locator("input[name=page]").input_value()
    foreign = visit("about:blank")
    foreign.set_content(
        f'<form method="post" action="{site.url()}"><input name="page" value="{token}">'
        '<button name="answer" value="fraud">free gift</button></form>'
    )
    foreign.get_by_role("button").click()
    expect(foreign.get_by_role("heading", level=1)).to_have_text("That did not work")
    assert site.answers.log == []


def test_the_running_stacks_site_answers_over_kafka(stack: Any, settings: Settings, visit: Visit) -> None:
    page = visit(Links(settings).url("no-such-case", "fraud"), 360)
    expect(page.get_by_role("heading", level=1)).to_have_text("Please come back in a moment")


def test_of_the_demos_customers_one_answers_in_the_browser_where_there_is_one(site: Site, chromium: str) -> None:
    site.cases.add(transaction("case-2"))
    mails = [{answer: site.url(answer, case) for answer in ("fraud", "not-fraud")} for case in ("case-1", "case-2")]
    assert answer_all([], [], chromium) == (0, None)
    assert answer_all(mails, HABITS[:2], chromium) == (0, "You reported this payment as fraud")
    assert {a.id_transaction: a.status for a in site.answers.log} == {
        "case-1": "REPORTED_FRAUD",
        "case-2": "REPORTED_NOT_FRAUD",
    }
    site.cases.add(transaction("case-3"))
    assert answer_all([{"fraud": site.url("fraud", "case-3")}], HABITS[:1], None) == (0, None)
    assert [a.id_transaction for a in site.answers.log if a.id_transaction == "case-3"] == ["case-3"]
