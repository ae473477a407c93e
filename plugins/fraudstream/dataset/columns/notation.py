"""How a file writes its numbers, and whether a spreadsheet has rounded them.

Scientific notation alone loses nothing: Java writes 2.718281828E7, Julia 2.718281828e7, R 1e+05 for exactly 100,000. A
spreadsheet writes 2.72E+07 for that number, a fixed number of digits, and the others are gone. One number doesn't tell
which it is; those of a file together do.
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
#: So many numbers with so few digits are no chance.
_FIXED_NUMBERS, _FEW_NUMBERS, _FEW_DIGITS = 3, 10, 3


class Scientific(NamedTuple):
    """A number in scientific notation."""

    line: int
    column: str
    text: str
    whole: str
    fraction: str
    exponent: int
    #: As Double.toString and others write a double: the fewest digits that tell it from every other one.
    shortest: bool

    @property
    def to_cents(self) -> bool:
        """Whether its digits reach the cents."""
        return len(self.fraction) >= self.exponent + 2

    @property
    def minor(self) -> int:
        return minor_units(self.text) or 0


class Notation:
    """What was seen of a file's numbers."""

    def __init__(self) -> None:
        self._numbers: list[Scientific] = []
        self._largest_plain = 0

    @property
    def name(self) -> str:
        """plain, Double.toString or scientific."""
        if not self._numbers:
            return "plain"
        java = all(number.shortest and "E" in number.text for number in self._numbers)
        return "Double.toString" if java else "scientific"

    def add(self, column: str, texts: pa.StringArray, lines: np.ndarray) -> None:
        """Sees a column of amounts; `lines` are their lines in the file."""
        scientific = pc.match_substring_regex(texts, _SCIENTIFIC)
        places = np.flatnonzero(scientific.to_numpy(zero_copy_only=False))
        found = zip(lines[places].tolist(), texts.take(pa.array(places)).to_pylist(), strict=True)
        self._numbers += [_parsed(line, column, match) for line, text in found if (match := _PARTS.fullmatch(text))]
        plain = pc.match_substring_regex(texts, "^[0-9]{1,15}([.][0-9]{1,2})?$")
        largest = pc.max(texts.filter(plain).cast(pa.decimal128(17, 2))).as_py()
        self._largest_plain = max(self._largest_plain, int((largest or 0) * 100))

    def rounded(self, others: Iterable["Notation"] = ()) -> list[Scientific]:
        """The numbers that have lost digits, in the order of lines; `others` saw other parts of the file."""
        seen = [number for notation in (self, *others) for number in notation._numbers]
        largest_plain = max(notation._largest_plain for notation in (self, *others))
        short = [n for n in self._numbers if not n.shortest and n.exponent > 0 and not n.to_cents]
        if short:
            # A tool that writes all digits writes the others of this size plainly, or with digits to the cents.
            complete = largest_plain >= min(n.minor for n in short) or any(n.to_cents and not n.shortest for n in seen)
            if not complete or _fixed(short):
                return sorted(short)
        shortest = {number.text: number for number in self._numbers if number.shortest and number.exponent > 0}
        few = all(len(number.whole + number.fraction) <= _FEW_DIGITS for number in shortest.values())
        return sorted(shortest.values()) if few and len(shortest) >= _FEW_NUMBERS else []


def _fixed(numbers: list[Scientific]) -> bool:
    """Whether numbers are written with a fixed number of digits: those that count and those that don't."""
    lengths = {len(number.fraction) for number in numbers}
    return any(n.fraction.endswith("0") for n in numbers) or (
        len(numbers) >= _FIXED_NUMBERS and len(lengths) == 1 and lengths != {0}
    )


def _parsed(line: int, column: str, match: re.Match[str]) -> Scientific:
    whole, fraction, letter, zeros, exponent = match[1], match[2] or "", match[3], match[4], int(match[5])
    if letter.endswith("-"):
        exponent = -exponent
    # A spreadsheet's exponent has a sign and two digits, and so has that of C's printf.
    shortest = (
        "+" not in letter
        and not zeros
        and len(whole) == 1
        and (fraction == "0" or not fraction.endswith("0"))
        and not -3 <= exponent < 6
    )
    return Scientific(line, column, match[0], whole, fraction, exponent, shortest)
