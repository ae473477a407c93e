"""The pages' sentences in each language, and the language that a browser prefers."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache

from fraudstream.errors import SettingsError
from fraudstream.settings import TEMPLATES, Settings

CATALOGUE = TEMPLATES / "pages" / "texts.toml"
LONGEST_HEADER = 200


Texts = Mapping[str, Mapping[str, str]]


@cache
def catalogue() -> Texts:
    """Texts by language tag; the first language is the one for everybody else."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def texts_of(settings: Settings) -> Texts:
    """The catalogue with the bank's own sentences in it.

    :raises SettingsError: a sentence that no page has, or a new language without all of them
    """
    own, common = settings.bank_texts, catalogue()
    known = next(iter(common.values())).keys()
    texts = {language: {**common.get(language, {}), **own.get(language, {})} for language in {**common, **own}}
    unknown = sorted(f"{language}.{name}" for language, text in own.items() for name in text.keys() - known)
    missing = sorted(f"{language}.{name}" for language, text in texts.items() for name in known - text.keys())
    empty = sorted(
        f"{language}.{name}" for language, text in texts.items() for name, words in text.items() if not words
    )
    for what, names in (("names texts that no page has", unknown), ("leaves out", missing), ("has empty texts", empty)):
        if names:
            raise SettingsError(
                f"FRAUDSTREAM_BANK_TEXTS {what}: {', '.join(names)}; expected names from {CATALOGUE.name}, "
                "and all of them for a language that isn't there"
            )
    wrong = [language for language, text in texts.items() if len(text["months"].split()) != 12]
    if wrong:
        raise SettingsError(
            f"FRAUDSTREAM_BANK_TEXTS has no 12 months, with a blank between them, in {', '.join(wrong)}"
        )
    return texts


@lru_cache(maxsize=1024)
def language_for(accept_language: str, known: tuple[str, ...]) -> str:
    """The language that an Accept-Language header likes best, by its q values, then its order; else the first.

    `accept_language` is kept for a while: cut it to :data:`LONGEST_HEADER`.
    """
    best, best_quality = known[0], 0.0
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameter)
        if language in known and quality > best_quality:
            best, best_quality = language, quality
    return best


def money_text(minor: int, text: Mapping[str, str]) -> str:
    """An amount in minor units as people write it: 983964 → ``9,839.64`` or ``9.839,64``."""
    sign = "-" if minor < 0 else ""
    whole = f"{abs(minor) // 100:,}".replace(",", text["thousands"])
    return f"{sign}{whole}{text['decimal']}{abs(minor) % 100:02d}"


def time_text(time: datetime, text: Mapping[str, str]) -> str:
    """A time as people write it: ``1 October 2023, 14:00 UTC``."""
    utc = time.astimezone(UTC)
    return f"{utc.day} {_months(text['months'])[utc.month - 1]} {utc.year}, {utc.hour:02d}:{utc.minute:02d} UTC"


@lru_cache(maxsize=16)
def _months(names: str) -> list[str]:
    return names.split()


def _quality(parameter: str) -> float:
    name, _, number = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(number)
    except ValueError:
        return 0.0
