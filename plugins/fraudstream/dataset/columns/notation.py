"""The notation of the numbers in a file, and whether a spreadsheet has rounded them.

Scientific notation alone loses no digits: Java writes 2.718281828E7, Julia 2.718281828e7, and R writes 1e+05 for
exactly 100,000. A spreadsheet writes 2.72E+07 for the first number: a fixed number of digits, and the others are lost.
A single number doesn't show which case it is. The numbers of a file together do.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.dataset.columns.values import minor_units

_SCIENTIFIC = "^[0-9]+([.][0-9]*)?[eE][+-]?[0-9]{1,3}$"
_PARTS = re.compile(r"([0-9]+)(?:\.([0-9]*))?([eE][+-]?)(0*)([0-9]+)")
#: From these counts on, numbers with a fixed length or with so few digits are not a coincidence.
_FIXED_NUMBERS, _FEW_NUMBERS, _FEW_DIGITS = 3, 10, 3


class Scientific(NamedTuple):
    """A number in scientific notation."""

    line: int
    column: str
    text: str
    whole: str
    fraction: str
    exponent: int
    #: As written by Double.toString and others: with the fewest digits that distinguish a double from all others.
    shortest: bool

    @property
    def to_cents(self) -> bool:
        """Whether its digits reach the cents."""
        return len(self.fraction) >= self.exponent + 2

    @property
    def minor(self) -> int:
        return minor_units(self.text) or 0


class Notation:
    """Statistics of the numbers in a part of a file."""

    def __init__(self) -> None:
        self._numbers: list[Scientific] = []
        self._largest_plain = 0

    @property
    def name(self) -> str:
        """``plain``, ``Double.toString`` or ``scientific``."""
        if not self._numbers:
            return "plain"
        java = all(number.shortest and "E" in number.text for number in self._numbers)
        return "Double.toString" if java else "scientific"

    def add(self, column: str, texts: pa.StringArray, lines: np.ndarray) -> None:
        """Adds a column of amounts; `lines` has the line number of each."""
        scientific = pc.match_substring_regex(texts, _SCIENTIFIC)
        places = np.flatnonzero(scientific.to_numpy(zero_copy_only=False))
        found = zip(lines[places].tolist(), texts.take(pa.array(places)).to_pylist(), strict=True)
        self._numbers += [_parsed(line, column, match) for line, text in found if (match := _PARTS.fullmatch(text))]
        plain = pc.match_substring_regex(texts, "^[0-9]{1,15}([.][0-9]{1,2})?$")
        largest = pc.max(texts.filter(plain).cast(pa.decimal128(17, 2))).as_py()
        self._largest_plain = max(self._largest_plain, int((largest or 0) * 100))

    def rounded(self, others: Iterable["Notation"] = ()) -> list[Scientific]:
        """Returns the numbers that have lost digits, in line order.

        :param others: the notations of other parts of the file, which are evidence but are not returned
        """
        seen = [number for notation in (self, *others) for number in notation._numbers]
        largest_plain = max(notation._largest_plain for notation in (self, *others))
        short = [n for n in self._numbers if not n.shortest and n.exponent > 0 and not n.to_cents]
        if short:
            # A tool that writes all digits writes other numbers of this size plainly, or with digits down to the cents.
            complete = largest_plain >= min(n.minor for n in short) or any(n.to_cents and not n.shortest for n in seen)
            if not complete or _fixed(short):
                return sorted(short)
        shortest = {number.text: number for number in self._numbers if number.shortest and number.exponent > 0}
        few = all(len(number.whole + number.fraction) <= _FEW_DIGITS for number in shortest.values())
        return sorted(shortest.values()) if few and len(shortest) >= _FEW_NUMBERS else []


def _fixed(numbers: list[Scientific]) -> bool:
    """Whether the numbers have a fixed number of digits: trailing zeros, or fractions of the same length."""
    lengths = {len(number.fraction) for number in numbers}
    return any(n.fraction.endswith("0") for n in numbers) or (
        len(numbers) >= _FIXED_NUMBERS and len(lengths) == 1 and lengths != {0}
    )


def _parsed(line: int, column: str, match: re.Match[str]) -> Scientific:
    whole, fraction, letter, zeros, exponent = match[1], match[2] or "", match[3], match[4], int(match[5])
    if letter.endswith("-"):
        exponent = -exponent
    # Exponents of spreadsheets and of C's printf have a sign and at least two digits.
    shortest = (
        "+" not in letter
        and not zeros
        and len(whole) == 1
        and (fraction == "0" or not fraction.endswith("0"))
        and not -3 <= exponent < 6
    )
    return Scientific(line, column, match[0], whole, fraction, exponent, shortest)
