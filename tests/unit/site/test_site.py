import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from bs4 import BeautifulSoup
from fraudstream.cases.answers.publisher import DecidedBy, Place, Status
from fraudstream.cases.links.signed import PAGE_SECONDS
from fraudstream.errors import AnswerUnknown, KafkaUnavailable, SchemaRegistryError
from fraudstream.settings import Settings
from fraudstream.site import site as site_module
from fraudstream.texts import catalogue, texts_of
from pydantic import ValidationError

from tests.fakes.cases import transaction
from tests.unit.site.conftest import Site

LONG_AGO = datetime(2023, 10, 5, 9, 30, tzinfo=UTC)


def words(html: str) -> str:
    return " ".join(BeautifulSoup(html, "html.parser").body.get_text(" ").split())  # type: ignore[union-attr]


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


class TestLanguages:
    @pytest.mark.parametrize(
        ("header", "language"),
        [
            ("id", "id"),
            ("id-ID,id;q=0.9,en;q=0.8", "id"),
            ("en;q=0.5, id;q=0.9", "id"),
            ("id;q=0, en;q=0.1", "en"),
            ("fr-FR, id;q=0.3", "id"),
            ("fr", "en"),
            ("", "en"),
            ("*;q=1", "en"),
            (";;;,,=;q=x,id;q=nan", "en"),
            ("x" * 10_000, "en"),
        ],
    )
    def test_the_browsers_preference_picks_the_language(self, site: Site, header: str, language: str) -> None:
        page = site.browser.get(site.url(), headers={"Accept-Language": header})
        assert page.headers["content-language"] == language
        assert f'<html lang="{language}">' in page.text
        assert page.headers["vary"] == "Accept-Language"

    def test_a_link_that_names_a_language_keeps_it_through_the_answer(self, site: Site) -> None:
        english = {"Accept-Language": "en"}
        url = site.links.url("case-1", "fraud", "id")
        assert site.browser.get(url, headers=english).headers["content-language"] == "id"
        form = site.form(url)
        action = re.search(r'action="([^"]+)"', site.browser.get(url, headers=english).text)
        assert action is not None
        posted = site.browser.post(action[1], data=form, headers=english)
        assert posted.status_code == 303
        recorded = site.browser.get(posted.headers["location"], headers=english)
        assert recorded.headers["content-language"] == "id"
        assert "Anda melaporkan" in words(recorded.text)
        late = site.browser.post(action[1], data=form, headers=english)
        assert site.browser.get(late.headers["location"]).headers["content-language"] == "id"

    @pytest.mark.parametrize(
        ("query", "language"),
        [
            ("?lang=id", "id"),
            ("?lang=ID", "id"),
            ("?lang=id.", "id"),
            ("?lang=id%3E", "id"),
            ("?lang=id&utm_source=x", "id"),
            ("?utm_source=x&lang=id", "id"),
            ("?lang=fr", "en"),
            ("?lang=idx", "en"),
            ("?lang=", "en"),
            ("?language=id", "en"),
            ("", "en"),
        ],
    )
    def test_a_language_that_is_damaged_or_unknown_leaves_it_to_the_browser(
        self, site: Site, query: str, language: str
    ) -> None:
        page = site.browser.get(site.url() + query, headers={"Accept-Language": "en"})
        assert page.status_code == 200
        assert page.headers["content-language"] == language

    def test_amounts_and_dates_are_written_the_languages_way(self, site: Site) -> None:
        page = site.browser.get(site.url(), headers={"Accept-Language": "id"})
        assert "181.983,43" in words(page.text)
        assert "4 Oktober 2023, 14:00 UTC" in words(page.text)
        assert "Apakah Anda melakukan pembayaran ini?" in words(page.text)


class TestTheBanksOwn:
    def test_its_name_and_its_sentences_stand_on_every_page(self, make_site: Callable[..., Site]) -> None:
        called = {"en": {"call": "Call 0800 123 <b>now</b>."}}
        site = make_site(bank_name="Bank & Söhne", bank_texts=called)
        for page in (site.browser.get(site.url()), site.press(), site.browser.get("/nowhere")):
            assert "Bank & Söhne" in words(page.text)
            assert "Call 0800 123 <b>now</b>." in words(page.text), "as text, not as markup"
            assert "Example Bank" not in page.text

    def test_its_language_is_served(self, make_site: Callable[..., Site]) -> None:
        french = catalogue()["en"] | {"case_title": "Est-ce vous ?"}
        site = make_site(bank_texts={"fr": french})
        page = site.browser.get(site.url(), headers={"Accept-Language": "fr-CH, en;q=0.5"})
        assert page.headers["content-language"] == "fr"
        assert "Est-ce vous ?" in words(page.text)

    def test_its_phone_number_currency_and_time_zone_stand_on_the_pages(self, make_site: Callable[..., Site]) -> None:
        site = make_site(bank_phone="0800 123", bank_currency="IDR", bank_time_zone="Asia/Jakarta")
        page = words(site.browser.get(site.url()).text)
        assert "call us at 0800 123." in page
        assert "IDR 181,983.43" in page
        assert "4 October 2023, 21:00 WIB" in page

    def test_its_language_is_for_browsers_that_prefer_none_of_the_others(self, make_site: Callable[..., Site]) -> None:
        site = make_site(bank_language="id")
        for header, language in (("fr", "id"), ("", "id"), ("en", "en")):
            page = site.browser.get(site.url(), headers={"Accept-Language": header})
            assert page.headers["content-language"] == language


class TestLimits:
    def test_one_client_is_slowed_down_and_others_are_not(self, make_site: Callable[..., Site]) -> None:
        site = make_site(confirmation_requests_per_minute=5)
        codes = [site.browser.get(site.url()).status_code for _ in range(7)]
        assert codes == [200] * 5 + [429] * 2
        refused = site.browser.get(site.url())
        assert refused.headers["retry-after"] == "60"
        assert "Nothing is recorded" in words(refused.text)
        site.browser._transport.client = ("198.51.100.9", 50_000)  # type: ignore[attr-defined]
        assert site.browser.get(site.url()).status_code == 200

    def test_one_case_is_slowed_down_whoever_asks(self, make_site: Callable[..., Site]) -> None:
        site = make_site(confirmation_requests_per_minute=10_000)
        codes = [site.browser.get(site.url()).status_code for _ in range(61)]
        assert codes[:60] == [200] * 60
        assert codes[60] == 429
        site.cases.add(transaction("case-2"))
        assert site.browser.get(site.url(case="case-2")).status_code == 200

    def test_forwarded_addresses_are_believed_from_configured_proxies_only(
        self, make_site: Callable[..., Site]
    ) -> None:
        for proxies, codes in (([], [200, 200, 429]), (["203.0.113.0/24"], [200, 200, 200])):
            site = make_site(confirmation_requests_per_minute=2, confirmation_trusted_proxies=proxies)
            found = [
                site.browser.get(site.url(), headers={"X-Forwarded-For": f"198.51.100.{n}"}).status_code
                for n in range(3)
            ]
            assert found == codes


class TestBehindGooglesLoadBalancer:
    """It appends two entries to X-Forwarded-For: the client's address, and that of its own forwarding rule."""

    FRONT_ENDS = ("35.191.0.0/16", "130.211.0.0/22")
    OWN = "34.120.5.6"

    def visits(
        self, make_site: Callable[..., Site], headers: list[str], peer: str = "35.191.7.9", own: str = OWN
    ) -> list[int]:
        """Status of a visit with each header, where two requests a minute and client are served."""
        proxies = [*self.FRONT_ENDS, own]
        site = make_site(peer, confirmation_requests_per_minute=2, confirmation_trusted_proxies=proxies)
        return [site.browser.get(site.url(), headers={"X-Forwarded-For": h}).status_code for h in headers]

    def test_each_customer_is_a_client_of_its_own(self, make_site: Callable[..., Site]) -> None:
        assert self.visits(make_site, [f"198.51.100.{n}, {self.OWN}" for n in range(5)]) == [200] * 5

    def test_one_customer_is_slowed_down_whatever_it_claims_to_have_forwarded(
        self, make_site: Callable[..., Site]
    ) -> None:
        claims = ["", "10.0.0.1, ", "192.0.2.1, 192.0.2.2, ", "unknown, ", f"{self.OWN}, 35.191.0.1, "]
        codes = self.visits(make_site, [f"{claim}198.51.100.7, {self.OWN}" for claim in claims])
        assert codes == [200, 200, 429, 429, 429]

    def test_without_the_balancers_own_address_all_customers_would_be_one_client(
        self, make_site: Callable[..., Site]
    ) -> None:
        headers = [f"198.51.100.{n}, {self.OWN}" for n in range(3)]
        assert self.visits(make_site, headers, own="34.9.9.9") == [200, 200, 429], "the reason for the setting"

    def test_ipv4_is_ipv4_however_a_socket_for_both_protocols_writes_it(self, make_site: Callable[..., Site]) -> None:
        mapped = [f"::ffff:198.51.100.{n}, ::ffff:{self.OWN}" for n in range(5)]
        assert self.visits(make_site, mapped, peer="::ffff:35.191.7.9") == [200] * 5
        one = [f"{spelling}, {self.OWN}" for spelling in ("198.51.100.7", "::ffff:198.51.100.7", "::FFFF:c633:6407")]
        assert self.visits(make_site, one) == [200, 200, 429]

    def test_a_household_is_one_client_of_ipv6(self, make_site: Callable[..., Site]) -> None:
        same = [f"2001:db8:1:2::{n}, {self.OWN}" for n in range(1, 4)]
        assert self.visits(make_site, same) == [200, 200, 429]
        others = [f"2001:db8:1:{n}::1, {self.OWN}" for n in range(1, 4)]
        assert self.visits(make_site, others) == [200] * 3

    def test_who_reaches_the_site_past_the_balancer_is_believed_nothing(self, make_site: Callable[..., Site]) -> None:
        headers = [f"198.51.100.{n}, {self.OWN}" for n in range(3)]
        assert self.visits(make_site, headers, peer="203.0.113.7") == [200, 200, 429]

    @pytest.mark.parametrize("wrong", ["*", "10.0.0.1/8", "balancer", ""])
    def test_what_is_no_address_or_network_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValidationError, match="expected addresses or networks"):
            Settings(confirmation_trusted_proxies=["10.0.0.0/8", wrong])


class TestLogAndFigures:
    def test_no_log_line_holds_a_token(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG")
        url = site.url()
        token = url.rsplit("/", 2)[1]
        site.press()
        site.browser.get(url.replace(token, token[:-3] + "abc"))
        site.browser.get(url.replace("/fraud", "/nonsense"))
        ours = [record.getMessage() for record in caplog.records if record.name.startswith("fraudstream")]
        assert "GET /confirm/{token}/{proposal} 200" in " ".join(ours)
        assert not [line for line in ours if token in line or token.rpartition(".")[2][:20] in line]

    def test_who_was_served_is_counted_not_logged_and_who_was_refused_is_both(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO", logger="fraudstream")
        site.press()
        assert not [record for record in caplog.records if "203.0.113.7" in record.getMessage()]
        site.browser.get("/confirm/forged/fraud")
        (line,) = [record.getMessage() for record in caplog.records if "203.0.113.7" in record.getMessage()]
        assert line.startswith("GET /confirm/{token}/{proposal} 404 ")

    def test_requests_answers_and_refusals_are_counted(self, site: Site) -> None:
        site.press()
        site.browser.post(site.url(), data={"answer": "fraud", "page": "x"})
        site.browser.get("/confirm/forged/fraud")
        figures = site.metrics.text().decode()
        assert 'fraudstream_site_answers_total{result="first"} 1.0' in figures
        assert 'fraudstream_site_answers_total{result="late"} 1.0' in figures
        assert 'fraudstream_site_refused_links_total{reason="invalid"} 1.0' in figures
        route = 'route="/confirm/{token}/{proposal}"'
        assert f'fraudstream_site_requests_total{{method="GET",{route},status="404"}} 1.0' in figures
