"""The fast reader gives what the slow one gives, or leaves the lines to it."""

import numpy as np
import pytest
from fraudstream.dataset import reader
from fraudstream.dataset.columns import Columns
from fraudstream.dataset.forms import PAYSIM, Form
from fraudstream.dataset.regular_rows import RegularRows
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.dataset.memory_file import START_DATE, read, rejected_of, rows_of
from tests.unit.dataset.paysim_files import PaySimFile, paysim_files

FORM = Form(tuple(PAYSIM), tuple(PAYSIM))
GOOD = b"1,PAYMENT,9839.64,C1231006815,170136.0,160296.36,M1979787155,0,0.05,1,0\n"


def regular(lines: bytes, first_row: int = 0):
    """What the fast reader makes of the lines, as rows; None: nothing."""
    columns = Columns(FORM, "0123456789", START_DATE)
    read = RegularRows(FORM, "0123456789").columns(lines, lines.count(b"\n"), first_row)
    return columns.regular(read) if read else None


def slow(lines: bytes, first_row: int = 0):
    """The same by the slow reader; None: not all are valid rows."""
    ends = np.array([place + 1 for place, octet in enumerate(lines) if octet == ord("\n")])
    if not reader._matches(lines, ends, FORM.line).all():
        return None
    return Columns(FORM, "0123456789", START_DATE).rows(lines, first_row + np.arange(len(ends)))


@settings(max_examples=100, deadline=None)
@given(file=paysim_files(), chunk_rows=st.integers(1, 7))
def test_a_file_reads_alike_whichever_reader_is_worth_it(file: PaySimFile, chunk_rows: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        expected = read(file.stored, chunk_rows=chunk_rows)
        patch.setattr(reader, "WORTH_BYTES", 0)
        found = read(file.stored, chunk_rows=chunk_rows)
    assert rows_of(found) == rows_of(expected)
    assert rejected_of(found) == rejected_of(expected)
    assert [chunk.position for chunk in found] == [chunk.position for chunk in expected]
    assert [list(chunk.row_numbers) for chunk in found] == [list(chunk.row_numbers) for chunk in expected]


@settings(max_examples=500, deadline=None)
@given(
    place=st.integers(0, len(GOOD) - 1),
    length=st.integers(0, 20),
    text=st.text(st.sampled_from('0159.,-+_ACe" \r\0é'), max_size=20) | st.text("0123456789", max_size=70),
)
def test_nothing_is_a_row_that_the_slow_reader_rejects(place: int, length: int, text: str) -> None:
    line = GOOD[:place] + text.encode() + GOOD[place + length :]
    if not line.endswith(b"\n"):
        line += b"\n"
    found = regular(GOOD + line + GOOD)
    assert found is None or found.equals(slow(GOOD + line + GOOD))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n", b"\r\n"),
        (b"9839.64", b"9839"),
        (b"9839.64", b"9839.6"),
        (b"9839.64", b"007.10"),
        (b"9839.64", b"123456789012345.67"),
        (b"9839.64", b"12345678"),
        (b"1,PAYMENT", b"999999,CASH_OUT"),
        (b"PAYMENT", b"CASH_IN"),
        (b"PAYMENT", b"DEBIT"),
        (b"PAYMENT", b"TRANSFER"),
        (b"C1231006815", b"C" * 64),
        (b"C1231006815", b"_"),
    ],
)
def test_what_paysim_writes_is_read_fast(old: bytes, new: bytes) -> None:
    lines = (GOOD.replace(old, new) + GOOD) * 3
    found = regular(lines, 999_999_990)
    assert found is not None
    assert found.equals(slow(lines, 999_999_990))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\n", b"\n\n"),
        (b"\n", b"\r\r\n"),
        (b"\n", b",\n"),
        (b",0\n", b"\n"),
        (b"PAYMENT", b'"PAYMENT"'),
        (b"PAYMENT", b"PAYMENTS"),
        (b"PAYMENT", b"PAY"),
        (b"PAYMENT", b""),
        (b"PAYMENT", b"TRANSFER_"),
        (b"9839.64", b"-9839.64"),
        (b"9839.64", b"+9839.64"),
        (b"9839.64", b"9839."),
        (b"9839.64", b".64"),
        (b"9839.64", b"9839.640"),
        (b"9839.64", b"9e3"),
        (b"9839.64", b""),
        (b"9839.64", b"1234567890123456.00"),
        (b"9839.64", b"9" * 30),
        (b"1,PAYMENT", b"1000000,PAYMENT"),
        (b"1,PAYMENT", b",PAYMENT"),
        (b"C1231006815", b""),
        (b"C1231006815", b"C" * 65),
        (b"C1231006815", b"C 1"),
        (b"C1231006815", "Cé".encode()),
        (b",1,0\n", b",2,0\n"),
        (b",1,0\n", b",1.0,0\n"),
        (b",1,0\n", b",,0\n"),
    ],
)
def test_any_other_shape_is_left_to_the_slow_reader(old: bytes, new: bytes) -> None:
    assert old in GOOD
    assert regular(GOOD + GOOD.replace(old, new, 1) + GOOD) is None


def test_a_last_line_without_its_break_is_left_to_the_slow_reader() -> None:
    assert RegularRows(FORM, "0123456789").columns(GOOD + GOOD[:-1], 2, 0) is None


def test_row_numbers_of_more_digits_than_an_id_has_are_left_to_the_slow_reader() -> None:
    assert regular(GOOD * 2, 10**9 - 1) is None


def test_columns_may_be_in_any_order() -> None:
    names = tuple(reversed(PAYSIM))
    form = Form(names, names)
    line = ",".join(reversed(GOOD.decode().strip().split(","))).encode() + b"\n"
    columns = RegularRows(form, "0123456789").columns(line, 1, 7)
    assert columns is not None
    assert Columns(form, "0123456789", START_DATE).regular(columns).equals(slow(GOOD, 7))


def test_only_a_large_enough_file_loads_compiled_code(monkeypatch: pytest.MonkeyPatch) -> None:
    header = ",".join(PAYSIM).encode() + b"\n"
    used: list[int] = []
    monkeypatch.setattr(RegularRows, "columns", lambda *of: used.append(len(of)))
    read(header + GOOD)
    assert not used
    monkeypatch.setattr(reader, "WORTH_BYTES", len(header + GOOD))
    assert len(rows_of(read(header + GOOD))) == 1
    assert used
