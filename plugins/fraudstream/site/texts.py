"""The pages' sentences in each language, and the language that a browser prefers."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from fraudstream.settings import TEMPLATES

CATALOGUE = TEMPLATES / "pages" / "texts.toml"
LONGEST_HEADER = 200


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, str]]:
    """Texts by language tag; the first language is the one for everybody else."""
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


@lru_cache(maxsize=1024)
def language_for(accept_language: str) -> str:
    """The catalogue's language that an Accept-Language header likes best, by its q values, then its order.

    `accept_language` is kept for a while: cut it to :data:`LONGEST_HEADER`.
    """
    known = catalogue()
    best, best_quality = next(iter(known)), 0.0
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
