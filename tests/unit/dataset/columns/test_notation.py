"""Which files a spreadsheet has rounded: detected from all of their numbers together."""

import random
import re

import pytest
from fraudstream.dataset.head import HEAD_BYTES, Head
from fraudstream.errors import WrongFormat

from tests.unit.dataset.memory_file import GOOD, memory_source, read, rows_of
from tests.unit.dataset.paysim_files import java
from tests.unit.dataset.source.source_behaviour import HEADER

_RANDOM = random.Random(5)  # noqa: S311  the same numbers in each run
MINOR = [_RANDOM.randrange(10**9, 10**11) for _ in range(60)]
PLAIN = [f"{n}.{n % 100:02d}" for n in range(1, 400, 7)]


def file_of(*numbers: str) -> bytes:
    return HEADER + b"".join(GOOD.replace(b"9839.64", number.encode()) for number in numbers)


def notation(*numbers: str) -> str:
    return Head.of(memory_source(file_of(*numbers))).notation.name


def written(form: str) -> list[str]:
    return [format(minor / 100, form) for minor in MINOR]


def test_names_are_those_of_the_notations() -> None:
    assert notation(*PLAIN) == "plain"
    assert notation(*PLAIN, *map(java, MINOR)) == "Double.toString"
    assert notation(*PLAIN, "2.718281828e+07") == notation("2.718281828e7") == "scientific"


@pytest.mark.parametrize(
    "numbers",
    [
        ["2.35E+07"],
        ["2.4E+07"],
        ["2E+07"],
        ["1.00E+07"],
        written(".2E"),
        written(".5E"),
        written(".1E"),
        written(".5g"),
        ["2.71828E+11"],
        [text.replace("E+0", "E") for text in written(".2E")],
        [text.replace("e+0", "e") for text in written(".2e")],
        [text.replace("E+0", "E+") for text in written(".2E")],
        [f"{minor / 1e8:.1f}E+06" for minor in MINOR],
    ],
    ids=lambda numbers: numbers[0],
)
def test_numbers_that_have_lost_digits_are_refused_with_count_and_first_line(numbers: list[str]) -> None:
    said = r"found [0-9]+ like .*, the first in line 5[7-9], column amount, expected all digits to the cents"
    with pytest.raises(WrongFormat, match=said):
        read(file_of(*PLAIN[:56], *numbers))


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1.0e7", 1_000_000_000),
        ("1.0E7", 1_000_000_000),
        ("1e7", 1_000_000_000),
        ("2.5e6", 250_000_000),
        ("2.718281828e7", 2_718_281_828),
        ("0.1e8", 1_000_000_000),
        ("9.234567890123456e14", 92_345_678_901_234_560),
        ('"1.0e7"', 1_000_000_000),
        (' " 1.0e7 " ', 1_000_000_000),
        ("+1.0e7", 1_000_000_000),
        ("2.718281828e+07", 2_718_281_828),
        ("+5.0", 500),
    ],
)
def test_a_number_that_says_all_its_digits_is_read_where_it_is_the_only_large_one(text: str, minor: int) -> None:
    content = HEADER + GOOD.replace(b"9839.64", text.encode()).replace(b"170136.0,160296.36", b"0.0,0.0")
    assert [row["amount"] for row in rows_of(read(content))] == [minor]


@pytest.mark.parametrize("text", ["1.0e+7", "1e07", "1e+07", "1E+07", "12e5"])
def test_a_number_whose_digits_may_be_missing_is_refused_with_its_place(text: str) -> None:
    content = HEADER + GOOD.replace(b"160296.36", text.encode())
    with pytest.raises(
        WrongFormat, match=rf"found 1 like {re.escape(text)}, the first in line 2, column newbalanceOri?g"
    ):
        read(content)


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        (list(map(java, MINOR)), "Java"),
        (["1.0E7"] * 40, "Java writes ten million so"),
        (["1.0E7", "1.5E7", "2.5E7"], "Java, and too few to say more"),
        ([f"{minor / 100:.9e}" for minor in MINOR if minor < 10**10], "digits to the cents"),
        (
            [*[f"{minor // 100}.{minor % 100:02d}" for minor in MINOR], "1e+05", "2e+05", "1.2e+07"],
            "R: the shorter one",
        ),
        ([f"{minor / 100:.2E}" for minor in range(100, 1_000, 7)], "a column of small numbers in a scientific format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_scientific_numbers_with_all_their_digits_are_read(numbers: list[str], why: str) -> None:
    found = rows_of(read(file_of(*PLAIN, *numbers)))
    assert len(found) == len(PLAIN) + len(numbers), why


def test_numbers_further_on_are_refused_where_they_are() -> None:
    rows = HEAD_BYTES // len(GOOD) + 10
    content = HEADER + GOOD * rows + GOOD.replace(b"9839.64", b"2.35E+07")
    with pytest.raises(WrongFormat, match=rf"found 1 like 2\.35E\+07, the first in line {rows + 2:,}, column amount"):
        read(content)
