"""The catalogue of sentences, and amounts and times in each language."""

import re
from datetime import UTC, datetime

import pytest
from fraudstream.errors import SettingsError
from fraudstream.settings import TEMPLATES, Settings
from fraudstream.texts import catalogue, known_language, money_text, texts_of, time_text
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError


def test_each_language_has_the_same_texts_and_none_is_empty() -> None:
    english, *others = catalogue().values()
    assert others, "there is a second language"
    for texts in (english, *others):
        assert set(texts) == set(english)
        assert all(texts.values())
        assert len(texts["months"].split()) == 12


def test_the_banks_own_sentences_take_the_places_of_ours() -> None:
    texts = texts_of(Settings(bank_texts={"en": {"call": "Call 0800 123."}}))
    assert texts["en"]["call"] == "Call 0800 123."
    assert texts["en"]["never"] == catalogue()["en"]["never"]
    assert texts["id"] == texts_of(Settings())["id"]


def test_a_language_of_the_banks_own_may_be_added() -> None:
    french = {name: f"fr {name}" for name in catalogue()["en"]} | {"months": "m " * 12}
    assert list(texts_of(Settings(bank_texts={"fr": french}))) == ["en", "id", "fr"]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ({"en": {"cal": "x"}}, "names texts that no page or mail has: en.cal"),
        ({"fr": {"call": "x"}}, r"leaves out: .*fr\.never"),
        ({"en": {"call": ""}}, "has empty texts: en.call"),
        ({"en": {"mail_notice_title": "Hello\n\nBcc: x"}}, "has texts with line breaks: en.mail_notice_title"),
        ({"en": {"mail_deadline": "Until {when}."}}, r"has texts with braces .*en\.mail_deadline"),
        ({"en": {"call": "Until {until}."}}, r"has texts with braces .*en\.call"),
        ({"en": {"phone": "{phone}"}}, r"has texts with braces .*en\.phone"),
        ({"en": {"months": "Jan Feb"}}, "12 months"),
    ],
)
def test_sentences_that_do_not_fit_the_pages_are_named(texts: dict[str, dict[str, str]], named: str) -> None:
    with pytest.raises(SettingsError, match=f"FRAUDSTREAM_BANK_TEXTS {named}|FRAUDSTREAM_BANK_TEXTS has no {named}"):
        texts_of(Settings(bank_texts=texts))


def test_the_sentences_come_from_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_BANK_TEXTS", '{"en": {"call": "Call us\\u0027 line."}}')
    assert Settings().bank_texts == {"en": {"call": "Call us' line."}}
    monkeypatch.setenv("FRAUDSTREAM_BANK_TEXTS", "call us")
    with pytest.raises(ValidationError, match="expected a JSON object, such as"):
        Settings()


def test_no_template_has_words_of_its_own() -> None:
    for template in (TEMPLATES / "pages").glob("*.html"):
        bare = re.sub(r"<style>.*?</style>|\{%.*?%\}|\{\{.*?\}\}|<[^>]*>|·", " ", template.read_text())
        assert bare.split() == [], template.name


@settings(deadline=None)
@given(st.integers(-(10**15), 10**15))
def test_amounts_are_exact_in_every_language(minor: int) -> None:
    for text in catalogue().values():
        shown = money_text(minor, text)
        assert int(shown.replace(text["thousands"], "").replace(text["decimal"], "")) == minor
        assert re.fullmatch(r"-?\d{1,3}([.,]\d{3})*[.,]\d\d", shown)


def test_an_amount_shows_its_currency_if_there_is_one() -> None:
    texts = catalogue()
    assert money_text(983964, texts["en"]) == "9,839.64"
    assert money_text(983964, texts["id"], "IDR") == "IDR 9.839,64"
    assert money_text(-5, texts["en"], "USD") == "USD -0.05"


@pytest.mark.parametrize(
    ("language", "zone", "shown"),
    [
        ("en", "UTC", "1 October 2023, 14:00 UTC"),
        ("id", "Asia/Jakarta", "1 Oktober 2023, 21:00 WIB"),
        ("en", "America/New_York", "1 October 2023, 10:00 EDT"),
        ("en", "Asia/Dubai", "1 October 2023, 18:00 UTC+04"),
        ("en", "Asia/Kathmandu", "1 October 2023, 19:45 UTC+0545"),
        ("id", "Pacific/Kiritimati", "2 Oktober 2023, 04:00 UTC+14"),
    ],
)
def test_a_time_is_that_of_the_zone_and_names_it(language: str, zone: str, shown: str) -> None:
    assert time_text(datetime(2023, 10, 1, 14, tzinfo=UTC), catalogue()[language], zone) == shown


def test_an_unknown_time_zone_is_refused_at_the_start() -> None:
    with pytest.raises(ValidationError, match="'Mars/Base' is not a time zone; expected a name such as UTC"):
        Settings(bank_time_zone="Mars/Base")


def test_the_phone_number_stands_in_every_sentence_that_says_to_call() -> None:
    for phone, found in (("0800 123", "0800 123"), ("", "the number on the back of your card")):
        text = texts_of(Settings(bank_phone=phone))["en"]
        assert text["call"] == f"If you are unsure, call us at {found}."
        assert not [name for name, words in text.items() if "{phone}" in words]


def test_the_default_language_comes_first_and_must_be_there() -> None:
    assert list(texts_of(Settings(bank_language="id"))) == ["id", "en"]
    with pytest.raises(SettingsError, match="FRAUDSTREAM_BANK_LANGUAGE is 'fr'; there are texts in en, id"):
        texts_of(Settings(bank_language="fr"))


@pytest.mark.parametrize(
    ("tag", "language"),
    [("id", "id"), ("id-ID", "id"), ("ID_id", "id"), ("fr", ""), ("", ""), ("indonesian", "")],
)
def test_a_tag_names_a_known_language_or_none(tag: str, language: str) -> None:
    assert known_language(tag, catalogue()) == language
