"""In any form of file, each line is read once and in order."""

import gzip
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from fraudstream.dataset import Position, open_source, read_chunks
from fraudstream.dataset.rows import ROWS
from fraudstream.errors import DatasetError, UnknownHeader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.dataset.memory_file import GOOD, START, UNTIMED, memory_source, read, rejected_of, rows_of
from tests.unit.dataset.paysim_files import PaySimFile, paysim_files
from tests.unit.dataset.source.source_behaviour import CONTENT, HEADER, START_DATE


class TestEveryFile:
    """Both forms, with any column order, line breaks, quotes, byte order mark, compression and invalid lines."""

    @UNTIMED
    @given(file=paysim_files())
    def test_each_data_line_is_one_row_or_one_rejected_line_in_order(self, file: PaySimFile) -> None:
        chunks = read(file.stored, chunk_rows=5)
        numbers = [int(number) for chunk in chunks for number in chunk.row_numbers]
        rejected = rejected_of(chunks)
        assert numbers == [row for row, (_, values) in enumerate(file.rows) if values is not None]
        assert [r.row for r in rejected] == [row for row, (_, values) in enumerate(file.rows) if values is None]
        assert len(rows_of(chunks)) == len(numbers)
        for r in rejected:
            index = file.rows[r.row][0]
            assert r.line == index + 2
            assert r.text == file.lines[index].decode().rstrip("\r\n")
            assert "unexpected place" not in r.reason

    @UNTIMED
    @given(file=paysim_files())
    def test_each_row_has_exactly_the_file_s_values(self, file: PaySimFile) -> None:
        chunks = read(file.stored)
        for values, row in zip((v for _, v in file.rows if v is not None), rows_of(chunks), strict=True):
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
        assert all(chunk.rows.num_rows + len(chunk.rejected) <= chunk_rows for chunk in chunks)

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
            lines = chunk.position.row + chunk.position.blank
            assert file.content[chunk.position.byte :] == b"".join(file.lines[lines:])
            assert chunk.position.line == lines + 2

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

    def test_they_stay_the_same_under_another_name_and_generation(self) -> None:
        source = memory_source(CONTENT)
        assert replace(source, uri="/data/./copy.csv", generation="2").id_prefix == source.id_prefix

    def test_another_content_or_replay_gives_other_ids(self) -> None:
        source = memory_source(CONTENT)
        others = [memory_source(CONTENT + b"\n"), replace(source, checksum="0"), replace(source, replay="again")]
        assert len({source.id_prefix, *(other.id_prefix for other in others)}) == 4


class TestHeader:
    @pytest.mark.parametrize(
        "header",
        [
            b"a,b,c\n",
            HEADER.replace(b"step,", b""),
            HEADER.replace(b"step", b"step,step"),
            HEADER.replace(b"nameOrig", b"nameOrigin"),
            b"\n",
            b'"step\n',
            GOOD,
        ],
    )
    def test_an_unknown_one_is_refused_before_anything_is_read(self, header: bytes) -> None:
        with pytest.raises(UnknownHeader, match=r"[eE]xpected '?(step|idTransaction),"):
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
