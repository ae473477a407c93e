"""Amounts of money: int64 minor units (1/100) in code, decimal text (9839.64) in JSON and for people; no floats."""

import re

_DECIMAL = re.compile(r"(-?)(\d+)(?:\.(\d{1,2}))?", re.ASCII)


def to_text(minor: int) -> str:
    """Returns the decimal text of an amount in minor units: 983964 → ``9839.64``."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02d}"


def shown(minor: int) -> str:
    """Returns an amount in minor units in English notation: 983964 → ``9,839.64``."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02d}"


def to_minor(text: str) -> int:
    """Returns the minor units of a decimal text: ``9839.64`` → 983964.

    :raises ValueError: `text` is not a number with at most two decimals
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount with at most two decimals")
    sign, whole, cents = match.groups()
    minor = int(whole) * 100 + int((cents or "").ljust(2, "0"))
    return -minor if sign else minor
