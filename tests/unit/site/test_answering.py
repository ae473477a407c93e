"""Posting an answer: what is recorded, and what the customer is told."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from fraudstream.cases.answers.publisher import Place
from fraudstream.cases.links.signed import PAGE_SECONDS
from fraudstream.errors import AnswerUnknown, KafkaUnavailable, SchemaRegistryError
from fraudstream.site import site as site_module

from tests.fakes.cases import transaction
from tests.unit.site.conftest import LONG_AGO, Site, words


class TestAnswering:
    @pytest.mark.parametrize(
        ("answer", "status", "title"),
        [
            ("fraud", "REPORTED_FRAUD", "You reported this payment as fraud"),
            ("not-fraud", "REPORTED_NOT_FRAUD", "You confirmed this payment"),
        ],
    )
    def test_records_the_button_that_was_pressed_and_says_so(
        self, site: Site, answer: str, status: str, title: str
    ) -> None:
        page = site.press(answer)
        assert page.status_code == 200
        assert title in words(page.text)
        (recorded,) = site.answers.log
        assert recorded.status == status
        by_link = {"channel": "LINK", "decidedBy": None, "reason": None}
        assert recorded.record == {**site.case, **by_link, "status": status, "answeredAt": recorded.answered_at}
        assert abs((datetime.now(UTC) - recorded.answered_at).total_seconds()) < 60

    def test_records_the_button_not_the_link(self, site: Site) -> None:
        url = site.url("fraud")
        site.browser.post(url, data=site.form(url, "not-fraud"))
        assert [a.status for a in site.answers.log] == ["REPORTED_NOT_FRAUD"]

    def test_repeating_is_harmless_and_shows_the_first_answer(self, site: Site) -> None:
        url = site.url("fraud")
        form = site.form(url, "fraud")
        first = site.send(url, form)
        for again in ("fraud", "not-fraud"):
            page = site.send(url, form | {"answer": again})
            assert page.status_code == 200
            assert page.text == first.text
        assert len(site.answers.log) == 1

    def test_a_tab_that_is_restored_sees_what_was_recorded_and_posts_nothing(self, site: Site) -> None:
        url = site.url("fraud")
        posted = site.browser.post(url, data=site.form(url))
        assert posted.status_code == 303
        assert posted.headers["location"].startswith(f"/confirm/{url.rsplit('/', 2)[1]}/fraud?answered=")
        for _ in range(3):
            assert "You reported this payment as fraud" in words(site.browser.get(posted.headers["location"]).text)
        assert len(site.answers.log) == 1

    def test_a_browser_that_is_sent_to_another_process_waits_for_its_answer_there(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = site.url("fraud")
        monkeypatch.setattr(site_module, "READ_BACK_SECONDS", 0.05)
        site.answers.reading = False
        address = site.browser.post(url, data=site.form(url)).headers["location"]
        monkeypatch.setattr(site_module, "READ_BACK_SECONDS", 5)
        with ThreadPoolExecutor(1) as visitor:
            page = visitor.submit(site.browser.get, address)
            while site.answers.waiting == 0:
                time.sleep(0.01)
            site.answers.reading = True
            site.answers.append("REPORTED_FRAUD", site.case, LONG_AGO)
            assert "You reported this payment as fraud" in words(page.result(5).text)

    def test_an_address_that_only_claims_an_answer_shows_the_two_buttons(self, site: Site) -> None:
        site.cases.add(transaction("case-2"))
        others = site.links.answered_path(site.links.find(site.url(case="case-2"))).partition("=")[2]
        for claim in ("yes", "", site.links.page_token("case-1"), site.url().rsplit("/", 2)[1], others):
            page = site.browser.get(site.url(), params={"answered": claim})
            assert page.status_code == 200
            assert "<form" in page.text

    def test_of_two_who_answer_at_once_both_are_shown_the_one_that_is_first_in_the_log(self, site: Site) -> None:
        url = site.url("fraud")
        form = site.form(url, "fraud")
        publish = site.answers.publish

        async def overtaken(*arguments: Any) -> Place:
            site.answers.append("REPORTED_NOT_FRAUD", site.case, LONG_AGO)
            return await publish(*arguments)

        site.answers.publish = overtaken  # type: ignore[method-assign]
        page = site.send(url, form)
        assert [a.status for a in site.answers.log] == ["REPORTED_NOT_FRAUD", "REPORTED_FRAUD"]
        assert "You confirmed this payment" in words(page.text)

    def test_many_at_once_are_all_shown_the_same_answer(self, site: Site) -> None:
        url = site.url()
        forms = [site.form(url, answer) for answer in ("fraud", "not-fraud") * 8]
        with ThreadPoolExecutor(8) as visitors:
            pages = list(visitors.map(lambda form: site.send(url, form), forms))
        first = site.answers.log[0]
        title = "You reported" if first.status == "REPORTED_FRAUD" else "You confirmed"
        assert all(title in words(page.text) for page in pages)

    @pytest.mark.parametrize("error", [KafkaUnavailable("no broker"), SchemaRegistryError("no registry")])
    def test_says_plainly_that_nothing_is_recorded_when_kafka_does_not_confirm(
        self, site: Site, error: KafkaUnavailable
    ) -> None:
        site.answers.refuse = error
        page = site.press()
        assert page.status_code == 503
        assert "Your answer is NOT recorded" in words(page.text)
        assert page.headers["retry-after"] == "60"
        assert str(error) not in page.text
        site.answers.refuse = None
        assert "You reported" in words(site.press().text), "and trying again works"

    def test_says_that_it_is_not_known_when_kafka_acknowledges_too_late(self, site: Site) -> None:
        site.answers.refuse = AnswerUnknown("timed out")
        url = site.url()
        form = site.form(url)
        for language, title, told in (
            ("en", "We do not know yet", "Open the link in your mail again in a minute"),
            ("id", "Kami belum tahu", "Buka kembali tautan di email Anda dalam satu menit"),
        ):
            page = site.browser.post(url, data=form, headers={"Accept-Language": language})
            assert page.status_code == 503
            assert page.headers["retry-after"] == "60"
            assert title in words(page.text)
            assert told in words(page.text)
            assert "NOT recorded" not in page.text
            assert "TIDAK tercatat" not in page.text
        assert 'fraudstream_site_answers_total{result="unknown"} 2.0' in site.metrics.text().decode()
        assert "<form" in site.browser.get(url).text, "nothing is claimed while it isn't known"
        site.answers.append("REPORTED_FRAUD", site.case, LONG_AGO)
        assert "You reported this payment as fraud" in words(site.browser.get(url).text)

    def test_an_answer_that_is_durable_but_not_read_back_yet_is_not_called_recorded(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(site_module, "READ_BACK_SECONDS", 0.05)
        site.answers.reading = False
        page = site.press()
        assert page.status_code == 202
        assert "Your answer has arrived" in words(page.text)

    def test_a_page_that_was_open_for_too_long_asks_to_press_again(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = site.url()
        form = site.form(url)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + PAGE_SECONDS + 5)
        page = site.browser.post(url, data=form)
        assert page.status_code == 403
        assert "press the button again" in words(page.text)
        assert site.answers.log == []
        assert site.press().status_code == 200
