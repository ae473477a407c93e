import gzip
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from fraudstream.dataset import Chunk, Position, Rejected, Source, open_source, read_chunks, reader
from fraudstream.dataset.columns import ROWS
from fraudstream.errors import DatasetError, UnknownHeader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.dataset.paysim_files import PaySimFile, paysim_files
from tests.unit.dataset.source_behaviour import CONTENT, HEADER

#: The first example imports what Arrow needs, which takes longer than any deadline fit for the others.
UNTIMED = settings(deadline=None, max_examples=50)
START = Position(0, 0)
START_DATE = datetime(2023, 10, 1, tzinfo=UTC)
GOOD = b"1,PAYMENT,9839.64,C1,170136.0,160296.36,M1,0.0,0.0,0,0\n"
RESTAMPED_HEADER = (
    b"idTransaction,timestamp,type,amount,nameOrigin,oldBalanceOrigin,newBalanceOrigin,nameDest,oldBalanceDest,"
    b"newBalanceDest,isFraud,isFlaggedFraud\n"
)


def memory_source(stored: bytes, block_bytes: int = 4096) -> Source:
    return Source(
        uri="paysim.csv",
        name="paysim.csv",
        generation="1",
        size=len(stored),
        compressed=stored.startswith(b"\x1f\x8b"),
        fetch=lambda start, length: stored[start : start + length],
        block_bytes=block_bytes,
    )


def read(stored: bytes, start: Position = START, chunk_rows: int = 50_000, block_bytes: int = 4096) -> list[Chunk]:
    return list(read_chunks(memory_source(stored, block_bytes), start, start_date=START_DATE, chunk_rows=chunk_rows))


def rows_of(chunks: list[Chunk]) -> list[dict[str, object]]:
    return [row for chunk in chunks for row in chunk.rows.to_pylist()]


def rejected_of(chunks: list[Chunk]) -> list[Rejected]:
    return [rejected for chunk in chunks for rejected in chunk.rejected]


def only_rejected(line: bytes, header: bytes = HEADER) -> Rejected:
    chunks = read(header + line)
    assert rows_of(chunks) == []
    (rejected,) = rejected_of(chunks)
    return rejected


class TestEveryFile:
    """Of either form, whatever its column order, line breaks, quotes, byte order mark, packing and bad lines."""

    @UNTIMED
    @given(file=paysim_files())
    def test_each_data_line_is_one_row_or_one_rejected_line_in_order(self, file: PaySimFile) -> None:
        chunks = read(file.stored, chunk_rows=5)
        numbers = [int(number) for chunk in chunks for number in chunk.row_numbers]
        rejected = rejected_of(chunks)
        assert numbers == [i for i, values in enumerate(file.expected) if values is not None]
        assert [r.row for r in rejected] == [i for i, values in enumerate(file.expected) if values is None]
        assert len(rows_of(chunks)) == len(numbers)
        for r in rejected:
            line = file.lines[r.row].decode()
            assert r.line == r.row + 2
            assert r.text == line.rstrip("\r\n")
            assert "unexpected place" not in r.reason

    @UNTIMED
    @given(file=paysim_files())
    def test_each_row_has_exactly_the_file_s_values(self, file: PaySimFile) -> None:
        chunks = read(file.stored)
        for values, row in zip((v for v in file.expected if v is not None), rows_of(chunks), strict=True):
            if "step" in values:
                assert row["timestamp"] == START_DATE.replace(tzinfo=None) + timedelta(hours=values["step"])
            else:
                assert row["step"] is None
            assert row == row | values

    @UNTIMED
    @given(file=paysim_files(), chunk_rows=st.integers(1, 7), block_bytes=st.integers(1, 300))
    def test_sizes_of_chunks_and_blocks_change_nothing(
        self, file: PaySimFile, chunk_rows: int, block_bytes: int
    ) -> None:
        whole = read(file.stored)
        chunks = read(file.stored, chunk_rows=chunk_rows, block_bytes=block_bytes)
        assert rows_of(chunks) == rows_of(whole)
        assert rejected_of(chunks) == rejected_of(whole)
        assert all(0 < chunk.rows.num_rows + len(chunk.rejected) <= chunk_rows for chunk in chunks)

    @UNTIMED
    @given(file=paysim_files(), sizes=st.lists(st.integers(1, 7), min_size=1), block_bytes=st.integers(1, 300))
    def test_any_sequence_of_resumes_gives_what_one_read_gives(
        self, file: PaySimFile, sizes: list[int], block_bytes: int
    ) -> None:
        source = memory_source(file.stored, block_bytes)
        position, taken, turn = START, [], 0
        while True:
            chunk_rows = sizes[turn % len(sizes)]
            chunk = next(read_chunks(source, position, start_date=START_DATE, chunk_rows=chunk_rows), None)
            if chunk is None:
                break
            taken.append(chunk)
            position, turn = chunk.position, turn + 1
        assert rows_of(taken) == rows_of(read(file.stored))
        assert rejected_of(taken) == rejected_of(read(file.stored))

    @UNTIMED
    @given(file=paysim_files(), chunk_rows=st.integers(1, 7))
    def test_a_position_is_the_byte_where_the_next_row_starts(self, file: PaySimFile, chunk_rows: int) -> None:
        for chunk in read(file.stored, chunk_rows=chunk_rows):
            assert file.content[chunk.position.byte :] == b"".join(file.lines[chunk.position.row :])

    @UNTIMED
    @given(file=paysim_files())
    def test_rows_have_the_columns_and_types_of_the_schema(self, file: PaySimFile) -> None:
        assert all(chunk.rows.schema == ROWS for chunk in read(file.stored))


def test_columns_and_order_are_those_of_the_avro_schema() -> None:
    assert (
        pa.schema(
            [
                ("idTransaction", pa.string()),
                ("timestamp", pa.timestamp("ms")),
                ("step", pa.int32()),
                ("type", pa.string()),
                ("amount", pa.int64()),
                ("nameOrig", pa.string()),
                ("oldbalanceOrg", pa.int64()),
                ("newbalanceOrig", pa.int64()),
                ("nameDest", pa.string()),
                ("oldbalanceDest", pa.int64()),
                ("newbalanceDest", pa.int64()),
                ("isFraud", pa.int32()),
                ("isFlaggedFraud", pa.int32()),
            ]
        )
        == ROWS
    )


class TestIds:
    def test_the_id_is_the_source_s_digits_and_the_row_number(self) -> None:
        source = memory_source(CONTENT)
        ids = [row["idTransaction"] for row in rows_of(read(CONTENT))]
        assert ids == [f"{source.id_prefix}-{row:09d}" for row in range(40)]

    def test_rejected_rows_keep_their_number(self) -> None:
        rows = rows_of(read(HEADER + GOOD + b"bad\n" + GOOD))
        assert [str(row["idTransaction"])[-9:] for row in rows] == ["000000000", "000000002"]

    def test_another_generation_gives_other_ids(self) -> None:
        other = replace(memory_source(CONTENT), generation="2")
        assert other.id_prefix != memory_source(CONTENT).id_prefix


class TestHeader:
    @pytest.mark.parametrize(
        "header",
        [
            b"a,b,c\n",
            HEADER.replace(b"step,", b""),
            HEADER.replace(b"step", b"step,step"),
            HEADER.replace(b"nameOrig", b"nameOrigin"),
            HEADER.lower(),
            b"\n",
            b'"step\n',
            b"\x00\xff\xfe\n",
            GOOD,
        ],
    )
    def test_an_unknown_one_is_refused_before_anything_is_read(self, header: bytes) -> None:
        with pytest.raises(UnknownHeader, match=r"found .* expected 'step,type,.*' or 'idTransaction,timestamp,"):
            read_chunks(memory_source(header + GOOD), START, start_date=START_DATE)

    def test_a_file_of_one_endless_line_is_refused_without_reading_it_all(self) -> None:
        with pytest.raises(UnknownHeader):
            read(b"x" * 1_000_000)

    @pytest.mark.parametrize("header", [HEADER, HEADER.rstrip(b"\n")])
    def test_a_file_with_nothing_else_has_no_chunk(self, header: bytes) -> None:
        assert read(header) == []

    def test_it_may_be_quoted(self) -> None:
        quoted = b",".join(b'"%s"' % name for name in HEADER.strip().split(b",")) + b"\r\n"
        assert len(rows_of(read(b"\xef\xbb\xbf" + quoted + GOOD))) == 1

    def test_a_start_inside_it_is_refused(self) -> None:
        with pytest.raises(DatasetError, match="lies in the header"):
            read(CONTENT, Position(3, 0))


class TestBadRows:
    @pytest.mark.parametrize(
        ("found", "bad", "reason"),
        [
            (b"9839.64", b"9839.645", "column amount: found '9839.645', expected a decimal, not negative"),
            (b"9839.64", b"9839.640", "column amount: found '9839.640'"),
            (b"9839.64", b"-9839.64", "column amount: found '-9839.64'"),
            (b"9839.64", b"+9839.64", "column amount: found '+9839.64'"),
            (b"9839.64", b"1e3", "column amount: found '1e3'"),
            (b"9839.64", b"much", "column amount: found 'much'"),
            (b"9839.64", b"", "column amount: found ''"),
            (b"9839.64", b" 9839.64", "column amount: found ' 9839.64'"),
            (b"9839.64", b"9839.", "column amount: found '9839.'"),
            (b"9839.64", b".64", "column amount: found '.64'"),
            (b"9839.64", b"NaN", "column amount: found 'NaN'"),
            (b"9839.64", b"1234567890123456", "at most 15 digits before the point and 2 after it"),
            (b"9839.64", "٣".encode(), "column amount: found '٣'"),
            (b"170136.0", b"-1", "column oldbalanceOrg: found '-1'"),
            (b"160296.36", b"0.001", "column newbalanceOrig: found '0.001'"),
            (b"PAYMENT", b"CHEQUE", "column type: found 'CHEQUE', expected one of CASH_IN, CASH_OUT, DEBIT"),
            (b"PAYMENT", b"payment", "column type: found 'payment'"),
            (b"1,PAYMENT", b"x,PAYMENT", "column step: found 'x', expected a whole number from 0 to 999999"),
            (b"1,PAYMENT", b"1.0,PAYMENT", "column step: found '1.0'"),
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
            (GOOD, b"\n", "empty line, expected 11 columns"),
            (GOOD, b"\r\n", "empty line"),
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

    def test_too_many_and_too_few_columns_don_t_cancel_out(self) -> None:
        chunks = read(HEADER + GOOD.replace(b"\n", b",1\n") + GOOD.replace(b"1,PAY", b"PAY") + GOOD)
        assert [r.row for r in rejected_of(chunks)] == [0, 1]

    def test_the_text_kept_of_a_line_is_bounded(self) -> None:
        assert len(only_rejected(b"x" * 5_000 + b"\n").text) == 2_000

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
        return f"T-1,{timestamp},PAYMENT,1,C1,2,1,M1,0,0,0,0\n".encode()

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
            ("1969-12-31T23:59:59.25+00:00", "1969-12-31T23:59:59.250"),
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
    @given(year=st.integers(1000, 2999), month=st.integers(0, 13), day=st.integers(0, 32))
    def test_a_date_is_accepted_if_and_only_if_the_calendar_has_it(self, year: int, month: int, day: int) -> None:
        chunks = read(RESTAMPED_HEADER + self.line(f"{year}-{month:02d}-{day:02d} 00:00:00"))
        try:
            expected = [datetime(year, month, day)]  # noqa: DTZ001  # Arrow's timestamps here are UTC without saying so
        except ValueError:
            expected = []
        assert [row["timestamp"] for row in rows_of(chunks)] == expected


class TestProgress:
    def test_of_a_plain_file_it_is_the_position(self) -> None:
        chunks = read(CONTENT, chunk_rows=7)
        assert [chunk.stored_bytes for chunk in chunks] == [chunk.position.byte for chunk in chunks]
        assert chunks[-1].stored_bytes == len(CONTENT)

    def test_of_a_gzip_it_ends_at_its_stored_size(self) -> None:
        stored = gzip.compress(CONTENT)
        counts = [chunk.stored_bytes for chunk in read(stored, chunk_rows=7, block_bytes=50)]
        assert counts == sorted(counts)
        assert counts[-1] == len(stored)


@settings(UNTIMED, max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(file=paysim_files())
def test_a_file_on_disk_reads_as_its_bytes_do(tmp_path: Path, file: PaySimFile) -> None:
    path = tmp_path / "paysim.csv"
    path.write_bytes(file.stored)
    os.utime(path, ns=(1, 1))
    chunks = list(read_chunks(open_source(str(path), None), START, start_date=START_DATE))
    assert rejected_of(chunks) == rejected_of(read(file.stored))
    assert [row["amount"] for row in rows_of(chunks)] == [row["amount"] for row in rows_of(read(file.stored))]
