"""The language that a browser prefers."""

from functools import lru_cache

LONGEST_HEADER = 200


@lru_cache(maxsize=1024)
def language_for(accept_language: str, known: tuple[str, ...]) -> str:
    """Returns the known language that an Accept-Language header prefers, by q value, then order; else the first one.

    Results are cached by `accept_language`: callers cut it to :data:`LONGEST_HEADER` characters.
    """
    best, best_quality = known[0], 0.0
    for part in accept_language.split(","):
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameter)
        if language in known and quality > best_quality:
            best, best_quality = language, quality
    return best


def _quality(parameter: str) -> float:
    name, _, number = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(number)
    except ValueError:
        return 0.0
