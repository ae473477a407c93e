"""Numbers are read exactly, in any notation."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.dataset.columns.values import COLUMNS, minor_units
from fraudstream.dataset.generator import decimals
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dataset.memory_file import GOOD, UNTIMED, read, rows_of
from tests.unit.dataset.paysim_files import MINOR_UNITS, java
from tests.unit.dataset.source.source_behaviour import HEADER

#: As Java's Double.toString writes them.
PUBLISHED = {
    "0.0": 0,
    "0.01": 1,
    "9839.64": 983964,
    "170136.0": 17013600,
    "9999999.99": 999_999_999,
    "1.0E7": 1_000_000_000,
    "1.000000001E7": 1_000_000_001,
    "2.718281828E7": 2_718_281_828,
    "9.234567890123456E14": 92_345_678_901_234_560,
}


def amount(*texts: str) -> list[int | None]:
    return COLUMNS["amount"].read(pa.array(texts)).to_pylist()


@pytest.mark.parametrize(("text", "minor"), PUBLISHED.items())
def test_the_published_notation_is_read_exactly_and_generated(text: str, minor: int) -> None:
    assert amount(text) == [minor]
    assert decimals(np.array([minor])).to_pylist() == [text] == [java(minor)]


@UNTIMED
@given(minor=MINOR_UNITS, zeros=st.integers(0, 6))
def test_each_notation_of_an_amount_is_the_same_number(minor: int, zeros: int) -> None:
    plain = f"{minor // 100}.{minor % 100:02d}"
    (generated,) = decimals(np.array([minor])).to_pylist()
    assert generated == java(minor)
    texts = [plain, plain + "0" * zeros, generated]
    assert amount(*texts) == [minor] * 3
    content = HEADER + b"".join(GOOD.replace(b"9839.64", text.encode()) for text in texts)
    assert [row["amount"] for row in rows_of(read(content))] == [minor] * 3


@UNTIMED
@given(texts=st.lists(st.text("0159.eE+-", max_size=9) | st.floats(0, 1e18).map(str), max_size=5))
def test_a_column_is_read_as_its_texts_one_by_one(texts: list[str]) -> None:
    together = COLUMNS["amount"].read(pa.array(texts, pa.string())).to_pylist()
    assert together == [minor_units(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("181.00000000000003", 18100),
        ("0.30000000000000004", 30),
        ("99999.98999999999", 9999999),
        ("1.8100000000000003E2", 18100),
        ("181.000001", 18100),
        ("181.0000011", None),
        ("181.005", None),
        ("-1.4551915228366852E-11", 0),
        ("1.0E-7", 0),
        ("1.0E-3", None),
        ("5.0E-1", 50),
        ("-0.0", 0),
        ("-0.01", None),
        ("999999999999999.99", 10**17 - 1),
        ("1.0E15", None),
        ("999999999999999.999999", None),
    ],
)
def test_the_noise_of_doubles_is_taken_off_and_nothing_else_is(text: str, minor: int | None) -> None:
    assert amount(text, "1.25") == [minor, 125]


@pytest.mark.parametrize(
    "text", ["", "NaN", "inf", "1_000", "1,5", "0x10", "1e", "e7", ".", "+", "1 5", "1e99999", "٣"]
)
def test_what_is_no_decimal_is_no_amount(text: str) -> None:
    assert amount(text) == [None]


@given(minor=MINOR_UNITS)
def test_java_s_rules_keep_the_value(minor: int) -> None:
    assert Decimal(java(minor)) * 100 == minor


@pytest.mark.parametrize(("text", "step"), [("1", 1), ("1.0", 1), ("743.00", 743), ("1.0E2", 100), ("1.5", None)])
def test_a_step_may_have_a_fraction_of_zero(text: str, step: int | None) -> None:
    assert COLUMNS["step"].read(pa.array(["7", text])).to_pylist() == [7, step]


@pytest.mark.parametrize(
    ("text", "flag"),
    [("0", 0), ("1.0", 1), ("1.00", 1), ("0.00", 0), ("True", 1), ("FALSE", 0), ("true", 1), ("2", None), ("", None)],
)
def test_a_flag_may_be_a_word(text: str, flag: int | None) -> None:
    assert COLUMNS["isFraud"].read(pa.array(["0", text])).to_pylist() == [0, flag]
