"""Money is exact: int64 minor units (1/100) inside, decimal text (9839.64) for people and JSON. No float anywhere."""

import re

_DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d{1,2}))?", re.ASCII)


def to_text(minor: int) -> str:
    """Decimal text of an amount in minor units: 983964 → ``9839.64``."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def shown(minor: int) -> str:
    """An amount in minor units as English-speaking people read it: 983964 → ``9,839.64``."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02d}"


def to_minor(text: str) -> int:
    """Minor units of decimal text with at most two decimals: ``9839.64`` → 983964.

    :raises ValueError: `text` is no such number
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount with at most two decimals")
    sign, whole, cents = match.groups()
    minor = int(whole) * 100 + int((cents or "").ljust(2, "0"))
    return -minor if sign else minor
