"""Languages, and the bank's own name, texts and formats."""

import re
from collections.abc import Callable

import pytest
from fraudstream.texts import catalogue

from tests.unit.site.conftest import Site, words


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
