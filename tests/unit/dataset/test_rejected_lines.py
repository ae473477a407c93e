"""Which lines are rejected, with which reason, and how times are read."""

from datetime import datetime

import pytest
from fraudstream.dataset import Rejected, reader
from fraudstream.errors import DatasetError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dataset.memory_file import GOOD, UNTIMED, read, rejected_of, rows_of
from tests.unit.dataset.source.source_behaviour import CONTENT, HEADER

RESTAMPED_HEADER = (
    b"idTransaction,timestamp,type,amount,nameOrigin,oldBalanceOrigin,newBalanceOrigin,nameDest,oldBalanceDest,"
    b"newBalanceDest,isFraud,isFlaggedFraud\n"
)


def only_rejected(line: bytes, header: bytes = HEADER) -> Rejected:
    chunks = read(header + line)
    assert rows_of(chunks) == []
    (rejected,) = rejected_of(chunks)
    return rejected


class TestBadRows:
    @pytest.mark.parametrize(
        ("found", "bad", "reason"),
        [
            (b"9839.64", b"9839.645", "column amount: found '9839.645', expected a decimal, not negative"),
            (b"9839.64", b"-9839.64", "column amount: found '-9839.64'"),
            (b"9839.64", b"1e16", "column amount: found '1e16'"),
            (b"9839.64", b"9,839.64", "found 12 columns, expected 11"),
            (b"9839.64", b'"9,839.64"', "column amount: found '9,839.64'"),
            (b"9839.64", b"$9839.64", "column amount: found '$9839.64'"),
            (b"9839.64", b"9_839.64", "column amount: found '9_839.64'"),
            (b"9839.64", b"1.0E-3", "column amount: found '1.0E-3'"),
            (b"9839.64", b"9839.64001", "column amount: found '9839.64001'"),
            (b"9839.64", b"inf", "column amount: found 'inf'"),
            (b"9839.64", b"much", "column amount: found 'much'"),
            (b"9839.64", b"", "column amount: found ''"),
            (b"9839.64", b"NaN", "column amount: found 'NaN'"),
            (b"9839.64", b"1234567890123456", "at most 15 digits before the point and 2 after it"),
            (b"9839.64", "٣".encode(), "column amount: found '٣'"),
            (b"170136.0", b"-1", "column oldbalanceOrg: found '-1'"),
            (b"160296.36", b"0.001", "column newbalanceOrig: found '0.001'"),
            (b"PAYMENT", b"CHEQUE", "column type: found 'CHEQUE', expected one of CASH_IN, CASH_OUT, DEBIT"),
            (b"PAYMENT", b"payment", "column type: found 'payment'"),
            (b"1,PAYMENT", b"x,PAYMENT", "column step: found 'x', expected a whole number from 0 to 999999"),
            (b"1,PAYMENT", b"1.5,PAYMENT", "column step: found '1.5'"),
            (b"1,PAYMENT", b"-1,PAYMENT", "column step: found '-1'"),
            (b"1,PAYMENT", b"1000000,PAYMENT", "column step: found '1000000'"),
            (b"C1", b"", "column nameOrig: found '', expected 1 to 64 of"),
            (b"M1", b"M 1", "column nameDest: found 'M 1'"),
            (b"M1", b"M\xff", r"column nameDest: found 'M\\xff'"),
            (b"M1", b"M" * 65, "column nameDest: found"),
            (b"0,0\n", b"2,0\n", "column isFraud: found '2', expected 0 or 1"),
            (b"0,0\n", b"0,yes\n", "column isFlaggedFraud: found 'yes'"),
            (b"0,0\n", b"0\n", "found 10 columns, expected 11: step,type"),
            (b"0,0\n", b"0,0,\n", "found 12 columns, expected 11"),
            (b"C1", b'"C1', "no CSV row"),
            (b"C1", b'"C1"x', "no CSV row"),
            (b"C1", "C1\u00a0".encode(), "column nameOrig: found 'C1\\xa0'"),
            (b"9839.64", "\u20099839.64".encode(), "column amount: found '\\u20099839.64'"),
        ],
    )
    def test_each_says_the_column_what_was_found_and_what_was_expected(
        self, found: bytes, bad: bytes, reason: str
    ) -> None:
        assert reason in only_rejected(GOOD.replace(found, bad)).reason

    def test_a_field_with_a_line_break_becomes_two_rejected_lines(self) -> None:
        chunks = read(HEADER + GOOD + GOOD.replace(b"C1", b'"C\n1"') + GOOD)
        assert [(r.line, "line break" in r.reason) for r in rejected_of(chunks)] == [(3, True), (4, False)]
        assert len(rows_of(chunks)) == 2

    @pytest.mark.parametrize("cut", range(2, len(GOOD)))
    def test_a_last_row_that_is_cut_off_is_rejected_as_such(self, cut: int) -> None:
        rest = GOOD[:-cut]
        if rest.count(b",") == 10 and not rest.endswith(b","):
            pytest.fail("this cut leaves a complete row, which no reader could tell")
        chunks = read(HEADER + GOOD + rest)
        assert len(rows_of(chunks)) == 1
        assert [r.row for r in rejected_of(chunks)] == ([1] if rest else [])
        assert all("may be cut off" in r.reason for r in rejected_of(chunks))

    def test_a_complete_last_row_needs_no_line_break(self) -> None:
        assert len(rows_of(read(HEADER + GOOD.rstrip(b"\n")))) == 1

    def test_one_bad_row_leaves_its_neighbours_alone(self) -> None:
        lines = [GOOD.replace(b"C1", b"C%d" % i) for i in range(9)]
        lines[4] = b"bad\n"
        names = [row["nameOrig"] for row in rows_of(read(HEADER + b"".join(lines)))]
        assert names == [f"C{i}" for i in range(9) if i != 4]

    @pytest.mark.parametrize("space", [b" ", b"\t", b"\v", b"\f"])
    def test_spaces_around_a_field_count_for_nothing_whatever_its_neighbours_have(self, space: bytes) -> None:
        odd = GOOD.replace(b"C1", b"C2" + space)
        for lines in ([odd], [odd, GOOD.replace(b"C1", b" C1")]):
            chunks = read(HEADER + b"".join(lines))
            assert rejected_of(chunks) == []
            assert rows_of(chunks)[0]["nameOrig"] == "C2"

    def test_too_many_and_too_few_columns_don_t_cancel_out(self) -> None:
        chunks = read(HEADER + GOOD.replace(b"\n", b",1\n") + GOOD.replace(b"1,PAY", b"PAY") + GOOD)
        assert [r.row for r in rejected_of(chunks)] == [0, 1]

    def test_the_text_kept_of_a_line_is_bounded(self) -> None:
        assert len(only_rejected(b"x" * 5_000 + b"\n").text) == 2_000

    def test_a_line_too_long_to_be_looked_at_is_told_as_such(self) -> None:
        line = GOOD.replace(b"9839.64", b"9" * 300_000)
        assert only_rejected(line).reason == "line: found 300,047 characters, expected at most 131,072"

    def test_an_endless_line_is_no_paysim_file(self) -> None:
        with pytest.raises(DatasetError, match="line 3 is longer than"):
            read(HEADER + GOOD + b"x" * (2 << 20))

    def test_long_lines_make_chunks_smaller_and_lose_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader, "CHUNK_BYTES", 500)
        chunks = read(CONTENT, chunk_rows=1_000, block_bytes=100)
        assert len(chunks) > 3
        assert rows_of(chunks) == rows_of(read(CONTENT, chunk_rows=1_000, block_bytes=100_000))
        assert len(rows_of(chunks)) == 40


class TestTimestamps:
    @staticmethod
    def line(timestamp: str) -> bytes:
        return f"T{abs(hash(timestamp))},{timestamp},PAYMENT,1,C1,2,1,M1,0,0,0,0\n".encode()

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2023-10-01 13:05:09", "2023-10-01T13:05:09.000"),
            ("2023-10-01T13:05:09", "2023-10-01T13:05:09.000"),
            ("2023-10-01T13:05:09Z", "2023-10-01T13:05:09.000"),
            ("2023-10-01T13:05:09.5", "2023-10-01T13:05:09.500"),
            ("2023-10-01 13:05:09.123456", "2023-10-01T13:05:09.123"),
            ("2023-10-01T13:05:09.999999999+02:00", "2023-10-01T11:05:09.999"),
            ("2023-10-01 00:05:09-0530", "2023-10-01T05:35:09.000"),
            ("2024-02-29 00:00:00", "2024-02-29T00:00:00.000"),
            ("1971-01-01T00:00:00.25+00:00", "1971-01-01T00:00:00.250"),
            ("2200-01-01T00:59:59.999+01:00", "2199-12-31T23:59:59.999"),
        ],
    )
    def test_iso_8601_with_or_without_fraction_and_zone_is_read_as_utc(self, text: str, expected: str) -> None:
        lines = [self.line("2023-10-01 00:00:00"), self.line(text)]
        for data in (lines, lines[1:]):
            row = rows_of(read(RESTAMPED_HEADER + b"".join(data)))[-1]
            assert row["timestamp"] == datetime.fromisoformat(expected)

    @pytest.mark.parametrize(
        "text",
        [
            "2023-02-29 00:00:00",
            "1970-12-31 23:59:59.999",
            "1971-01-01 00:00:00+00:01",
            "2200-01-01 00:00:00",
            "2023-13-01 00:00:00",
            "2023-10-01 24:00:00",
            "2023-10-01 13:60:00",
            "01/10/2023 13:00",
            "1696165200",
            "",
            "2023-10-01 13:05:09 UTC",
            "2023-10-01 13:05:09+25:00",
        ],
    )
    def test_anything_else_is_rejected(self, text: str) -> None:
        reason = only_rejected(self.line(text), RESTAMPED_HEADER).reason
        assert reason.startswith(f"column timestamp: found {text!r}, expected a date and time like")

    @UNTIMED
    @given(year=st.integers(1965, 2205), month=st.integers(0, 13), day=st.integers(0, 32))
    def test_a_date_is_accepted_if_and_only_if_the_calendar_has_it(self, year: int, month: int, day: int) -> None:
        chunks = read(RESTAMPED_HEADER + self.line(f"{year}-{month:02d}-{day:02d} 00:00:00"))
        try:
            expected = [datetime(year, month, day)]  # noqa: DTZ001  # Arrow's timestamps here are UTC without saying so
        except ValueError:
            expected = []
        if not 1971 <= year < 2200:
            expected = []
        assert [row["timestamp"] for row in rows_of(chunks)] == expected
