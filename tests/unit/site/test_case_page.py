"""The page of a case before and after an answer, and before Kafka has been read."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from bs4 import BeautifulSoup
from fraudstream.cases.answers.publisher import DecidedBy, Status
from fraudstream.settings import Settings
from fraudstream.site import site as site_module
from fraudstream.texts import texts_of

from tests.fakes.cases import transaction
from tests.unit.site.conftest import LONG_AGO, Site, words


class TestOpening:
    def test_shows_amount_time_recipient_and_id_of_the_case(self, site: Site) -> None:
        page = site.browser.get(site.url())
        assert page.status_code == 200
        for shown in ("181,983.43", "4 October 2023, 14:00 UTC", "C553264065", "case-1", "Transfer"):
            assert shown in words(page.text)

    @pytest.mark.parametrize(("answer", "first"), [("fraud", "No, report fraud"), ("not-fraud", "Yes, it was me")])
    def test_offers_both_answers_the_links_own_first(self, site: Site, answer: str, first: str) -> None:
        buttons = BeautifulSoup(site.browser.get(site.url(answer)).text, "html.parser").find_all("button")
        assert sorted(str(b["value"]) for b in buttons) == ["fraud", "not-fraud"]
        assert buttons[0]["value"] == answer
        assert buttons[0]["class"] == ["proposed"]
        assert first in buttons[0].text

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_changes_nothing_however_often(self, site: Site, method: str) -> None:
        for answer in ("fraud", "not-fraud"):
            for _ in range(5):
                assert site.browser.request(method, site.url(answer)).status_code == 200
        assert site.answers.log == []

    def test_says_what_was_recorded_and_when_once_there_is_an_answer(self, site: Site) -> None:
        site.answers.append("REPORTED_NOT_FRAUD", site.case, LONG_AGO)
        page = site.browser.get(site.url("fraud"))
        assert page.status_code == 200
        assert "You confirmed this payment" in words(page.text)
        assert "5 October 2023, 09:30 UTC" in words(page.text)
        assert "<form" not in page.text

    def test_says_that_the_time_was_over_once_no_response_is_recorded(self, site: Site) -> None:
        site.answers.append("NO_RESPONSE", site.case, LONG_AGO)
        assert "The time for an answer is over" in words(site.browser.get(site.url()).text)

    @pytest.mark.parametrize("language", ["en", "id"])
    @pytest.mark.parametrize("status", ["REPORTED_FRAUD", "REPORTED_NOT_FRAUD"])
    @pytest.mark.parametrize("first", ["NO_RESPONSE", "REPORTED_FRAUD", "REPORTED_NOT_FRAUD", None])
    def test_says_what_staff_decided_whatever_was_answered_before_and_after(
        self, site: Site, first: Status | None, status: Status, language: str
    ) -> None:
        if first is not None:
            site.answers.append(first, site.case, LONG_AGO)
        site.answers.append(status, site.case, LONG_AGO.replace(hour=11), DecidedBy("ana", "the customer called"))
        site.answers.append("NO_RESPONSE", site.case, LONG_AGO.replace(hour=12))
        page = words(site.browser.get(site.url(), headers={"Accept-Language": language}).text)
        text = texts_of(Settings())[language]
        for name in (f"recorded_title_STAFF_{status}", f"recorded_next_STAFF_{status}", "label_decision"):
            assert text[name] in page
        assert text["staff_not_you"] in page
        assert "11:30 UTC" in page
        for name in ("label_answer", f"recorded_title_{status}", "recorded_first"):
            assert text[name] not in page, "the customer's words"
        assert "ana" not in page.split()
        assert "the customer called" not in page

    def test_of_two_staff_decisions_the_later_one_is_in_force(self, site: Site) -> None:
        site.answers.append("REPORTED_FRAUD", site.case, LONG_AGO, DecidedBy("ana", "called"))
        site.answers.append("REPORTED_NOT_FRAUD", site.case, LONG_AGO, DecidedBy("bo", "called again"))
        assert "We recorded that you made this payment" in words(site.browser.get(site.url()).text)

    def test_needs_no_script_and_loads_nothing_from_elsewhere(self, site: Site) -> None:
        html = BeautifulSoup(site.browser.get(site.url()).text, "html.parser")
        assert html.find_all(["script", "img", "iframe", "object", "embed"]) == []
        assert [str(link["href"]) for link in html.find_all("link")] == ["data:,"]
        assert not [tag for tag in html.find_all() if any(name.startswith("on") for name in tag.attrs)]

    def test_is_readable_by_a_screen_reader(self, site: Site) -> None:
        html = BeautifulSoup(site.browser.get(site.url()).text, "html.parser")
        assert html.html["lang"] == "en"  # type: ignore[index]
        assert len(html.find_all("h1")) == 1
        assert html.title.text.startswith(html.h1.text)  # type: ignore[union-attr]
        assert html.main is not None
        for labelled in html.find_all(attrs={"aria-labelledby": True}):
            assert html.find(id=str(labelled["aria-labelledby"])) is not None
        assert all(button.get_text(strip=True) for button in html.find_all("button"))


class TestBeforeItCanAnswer:
    def test_a_case_that_is_not_read_from_kafka_yet_asks_to_come_back(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(site_module, "CASE_SECONDS", 0.05)
        page = site.browser.get(site.url(case="case-2"))
        assert page.status_code == 503
        assert int(page.headers["retry-after"]) > 0
        assert "come back in a moment" in words(page.text)

    def test_a_case_that_arrives_while_its_page_is_asked_for_is_shown(self, site: Site) -> None:
        with ThreadPoolExecutor(1) as visitor:
            page = visitor.submit(site.browser.get, site.url(case="case-2"))
            while site.cases.waiting == 0:
                time.sleep(0.01)
            site.cases.add(transaction("case-2"))
            assert "case-2" in words(page.result(5).text)

    def test_answers_that_are_not_read_to_their_end_yet_ask_to_come_back(self, site: Site) -> None:
        form = site.form(site.url())
        site.answers.caught_up = False
        assert site.browser.get(site.url()).status_code == 503
        assert site.browser.post(site.url(), data=form).status_code == 503
        assert site.answers.log == []

    def test_a_view_that_ended_asks_to_come_back(self, site: Site) -> None:
        site.cases.fail("the brokers are gone for good")
        page = site.browser.get(site.url())
        assert page.status_code == 503
        assert "gone for good" not in page.text
