"""Rows come out sorted and all there, however they are cut into runs and pieces."""

import tempfile
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
from fraudstream.lake.compaction import sorting
from hypothesis import given, settings
from hypothesis import strategies as st

SHORT = st.text("abAB\0\u00e9\U0001f600", max_size=3)
#: Apart only beyond the first eight bytes.
LONG = st.text("ab\0", max_size=3).map(lambda end: "C12345678" + end)
ROWS = st.lists(st.tuples(SHORT, st.integers(0, 9)) | st.tuples(LONG, st.integers(0, 9)), max_size=60) | st.lists(
    st.tuples(LONG, st.integers(0, 9)), max_size=60
)


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 20), st.integers(1, 20), st.integers(1, 8), st.integers(1, 9), st.booleans())
def test_pieces_follow_each_other_in_order_and_hold_every_row(
    rows, run_rows, piece_rows, batch_rows, table_rows, coded
):
    with_order = sorted(rows, key=lambda row: (row[0].encode(), row[1]))
    tables = [
        pa.table({"key": [key for key, _ in part], "number": pa.array([n for _, n in part], pa.int32())})
        for part in (rows[start : start + table_rows] for start in range(0, len(rows), table_rows))
    ]
    if coded:
        key = tables[0].schema.field("key").with_type(pa.dictionary(pa.int32(), pa.string())) if tables else None
        tables = [table.cast(pa.schema([key, table.schema.field("number")])) for table in tables]
    found, largest = _sorted(tables, run_rows, piece_rows, batch_rows)
    assert found == with_order
    same_key = max((sum(key == other for other, _ in rows) for key, _ in rows), default=0)
    runs = len(rows) // run_rows + 1
    assert largest <= max(piece_rows * 2 + runs, run_rows + table_rows) + same_key


def _sorted(tables, run_rows, piece_rows, batch_rows, distance=1):

    with (
        tempfile.TemporaryDirectory() as directory,
        patch.multiple(
            sorting, RUN_ROWS=run_rows, PIECE_ROWS=piece_rows, _BATCH_ROWS=batch_rows, _SAMPLE_DISTANCE=distance
        ),
    ):
        lanes = sorting.sorted_lanes(tables, ("key", "number"), Path(directory))
        pieces = [piece for lane in lanes for piece in lane]
    found = [(row["key"], row["number"]) for piece in pieces for row in piece.to_pylist()]
    return found, max(map(len, pieces), default=0)
