import re

import pytest
from fraudstream.errors import SettingsError
from fraudstream.settings import TEMPLATES, Settings
from fraudstream.site.buckets import Buckets, client_key
from fraudstream.site.texts import catalogue, money_text, texts_of
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
    assert texts["id"] == catalogue()["id"]


def test_a_language_of_the_banks_own_may_be_added() -> None:
    french = {name: f"fr {name}" for name in catalogue()["en"]} | {"months": "m " * 12}
    assert list(texts_of(Settings(bank_texts={"fr": french}))) == ["en", "id", "fr"]


@pytest.mark.parametrize(
    ("texts", "named"),
    [
        ({"en": {"cal": "x"}}, "names texts that no page has: en.cal"),
        ({"fr": {"call": "x"}}, r"leaves out: .*fr\.never"),
        ({"en": {"call": ""}}, "has empty texts: en.call"),
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


class TestBuckets:
    def test_a_bucket_gives_its_capacity_at_once_and_refills_evenly(self) -> None:
        now = 0.0
        buckets = Buckets(4, 60, clock=lambda: now)
        assert [buckets.take("a") for _ in range(6)] == [True] * 4 + [False] * 2
        assert buckets.take("b"), "keys don't share a bucket"
        now = 15.0
        assert [buckets.take("a") for _ in range(2)] == [True, False]
        now = 1000.0
        assert [buckets.take("a") for _ in range(5)] == [True] * 4 + [False]

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10))
    def test_no_stretch_of_time_gets_more_than_the_capacity_and_what_refilled(
        self, pauses: list[float], capacity: int
    ) -> None:
        now = 0.0
        buckets = Buckets(capacity, 60, clock=lambda: now)
        taken = []
        for pause in pauses:
            now += pause
            if buckets.take("a"):
                taken.append(now)
        for first in range(len(taken)):
            for last in range(first, len(taken)):
                assert last - first + 1 <= capacity + (taken[last] - taken[first]) * capacity / 60 + 1e-6

    def test_memory_stays_bounded_however_many_keys_come(self) -> None:
        now = 0.0
        buckets = Buckets(2, 60, most_keys=10, clock=lambda: now)
        for key in range(100):
            buckets.take(str(key))
            assert len(buckets) <= 10
        now = 100.0
        buckets.take("new")
        assert len(buckets) <= 10

    def test_a_full_table_forgets_those_who_are_not_limited_first(self) -> None:
        now = 0.0
        buckets = Buckets(1, 60, most_keys=2, clock=lambda: now)
        buckets.take("quiet")
        now = 59.0
        buckets.take("busy")
        now = 61.0
        buckets.take("new")
        assert not buckets.take("busy")


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(host: str, key: str) -> None:
    assert client_key(host) == key
