"""The texts of pages and mails in each language: a catalogue of sentences, and the formats of amounts and times."""

import re
import tomllib
from collections.abc import Container, Mapping
from datetime import datetime
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from fraudstream.errors import SettingsError
from fraudstream.settings import TEMPLATES, Settings

CATALOGUE = TEMPLATES / "texts.toml"

_VALUE = re.compile(r"\{(\w+)\}")

#: The sentences of one language, by name.
Text = Mapping[str, str]
#: The sentences by language tag.
Texts = Mapping[str, Text]


@cache
def catalogue() -> Texts:
    """The sentences in include/templates/texts.toml."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def texts_of(settings: Settings) -> Texts:
    """Returns the catalogue with the bank's own sentences and phone number. The default language is the first one.

    :raises SettingsError: the bank's sentences have an unknown name, an unknown value in braces, no text or a line
        break; a new language lacks sentences; the months are not 12; or the default language has no texts
    """
    own, common = settings.bank_texts, catalogue()
    texts = {language: {**common.get(language, {}), **own.get(language, {})} for language in {**common, **own}}
    _check(own, texts)
    default = settings.bank_language
    if default not in texts:
        raise SettingsError(f"FRAUDSTREAM_BANK_LANGUAGE is {default!r}; there are texts in {', '.join(texts)}")
    return {
        language: _with_phone(texts[language], settings.bank_phone)
        for language in sorted(texts, key=lambda language: language != default)
    }


def known_language(tag: str, known: Container[str]) -> str:
    """Returns the language of a tag such as ``id-ID`` if it is one of `known`, else an empty string."""
    language = tag.strip().lower().replace("_", "-").partition("-")[0]
    return language if language in known else ""


def money_text(minor: int, text: Text, currency: str = "") -> str:
    """Returns an amount in minor units in a language's notation: 983964 → ``9,839.64`` or ``IDR 9.839,64``."""
    sign = "-" if minor < 0 else ""
    whole = f"{abs(minor) // 100:,}".replace(",", text["thousands"])
    amount = f"{sign}{whole}{text['decimal']}{abs(minor) % 100:02d}"
    return f"{currency} {amount}" if currency else amount


def time_text(time: datetime, text: Text, zone: str) -> str:
    """Returns a time in a language and a time zone (IANA name): ``1 October 2023, 21:00 WIB``."""
    local = time.astimezone(_zone(zone))
    name = local.tzname() or ""
    shown = name if name.isalpha() else f"UTC{name}"  # many zones have only an offset for a name
    return f"{local.day} {_months(text['months'])[local.month - 1]} {local.year}, {local:%H:%M} {shown}"


def _with_phone(text: Text, phone: str) -> Text:
    shown = phone or text["phone"]
    return {name: words.replace("{phone}", shown) for name, words in text.items()}


def _check(own: Texts, texts: Texts) -> None:
    english = catalogue()["en"]
    named = [(f"{language}.{name}", name, words) for language, text in texts.items() for name, words in text.items()]
    problems = {
        "names texts that no page or mail has": [
            f"{language}.{name}" for language, text in own.items() for name in text.keys() - english.keys()
        ],
        "leaves out": [
            f"{language}.{name}" for language, text in texts.items() for name in english.keys() - text.keys()
        ],
        "has empty texts": [place for place, _, words in named if not words],
        "has texts with line breaks": [place for place, _, words in named if words and len(words.splitlines()) != 1],
        "has texts with braces around something that they can't show": [
            place for place, name, words in named if not _values(words) <= _allowed(english, name)
        ],
    }
    for what, places in problems.items():
        if places:
            raise SettingsError(
                f"FRAUDSTREAM_BANK_TEXTS {what}: {', '.join(sorted(places))}; expected names from {CATALOGUE.name}, "
                "the values in braces that they have there, and all names for a language that isn't there"
            )
    wrong = [language for language, text in texts.items() if len(text["months"].split()) != 12]
    if wrong:
        raise SettingsError(
            f"FRAUDSTREAM_BANK_TEXTS has no 12 months, with a blank between them, in {', '.join(wrong)}"
        )


def _allowed(english: Text, name: str) -> set[str]:
    """The values in braces that a text may contain."""
    return _values(english.get(name, "")) | ({"phone"} - {name})


def _values(words: str) -> set[str]:
    return set(_VALUE.findall(words))


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


@lru_cache(maxsize=16)
def _months(names: str) -> list[str]:
    return names.split()
