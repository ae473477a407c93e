"""Valid CSV lines to Arrow columns as include/schemas/transaction.avsc has them; no float anywhere."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd  # noqa: F401  # Arrow imports it when it first converts a value: not while rows wait
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from fraudstream.dataset.forms import FLAGS, MONEY, TRANSACTION_COLUMNS, Form

HOUR_MS = 3_600_000
#: Digits of the row number in an id, or more where the file has more rows.
ROW_DIGITS = 9
_TIME = pa.timestamp("ms")
_ARROW = {
    "timestamp": _TIME,
    "step": pa.int32(),
    **dict.fromkeys(MONEY, pa.int64()),
    **dict.fromkeys(FLAGS, pa.int32()),
}
#: Types and order of the rows that the reader gives: what the batch encoder takes for the schema Transaction.
ROWS = pa.schema([(name, _ARROW.get(name, pa.string())) for name in TRANSACTION_COLUMNS])
_CSV = {
    "step": pa.int32(),
    **dict.fromkeys(MONEY, pa.decimal128(17, 2)),
    **dict.fromkeys(FLAGS, pa.bool_()),
}


class Columns:
    """Turns lines of one file into rows."""

    def __init__(self, form: Form, id_prefix: str, start_date: datetime) -> None:
        self._restamped = form.restamped
        self._id_prefix = id_prefix
        since = (start_date if start_date.tzinfo else start_date.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        self._start_ms = since // timedelta(milliseconds=1)
        self._names = list(form.columns)
        self._convert = csv.ConvertOptions(
            column_types={name: _CSV.get(name, pa.string()) for name in form.columns},
            true_values=["1", "1.0"],
            false_values=["0", "0.0"],
            null_values=[],  # a valid line has none, and each number would be looked up among them
        )

    def rows(self, lines: bytes, numbers: np.ndarray) -> pa.RecordBatch:
        """Rows (:data:`ROWS`) of whole `lines` that match `form.line`; `numbers` (int64) are their row numbers."""
        if not len(numbers):
            return pa.RecordBatch.from_pylist([], ROWS)
        table = csv.read_csv(
            pa.BufferReader(lines),
            read_options=csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(lines) + 1),
            convert_options=self._convert,
        )
        read = {name: table.column(name).combine_chunks() for name in self._names}
        for name in MONEY:
            read[name] = _minor_units(read[name])
        for name in FLAGS:
            read[name] = read[name].cast(pa.int32())
        if self._restamped:
            read["timestamp"] = _times(read["timestamp"])
            read["step"] = pa.nulls(len(numbers), pa.int32())
        else:
            read["idTransaction"] = self._ids(numbers)
            read["timestamp"] = self._times_of_steps(read["step"])
        return _rows(read)

    def regular(self, read: dict[str, pa.Array]) -> pa.RecordBatch:
        """Rows (:data:`ROWS`) of what :class:`~fraudstream.dataset.regular_rows.RegularRows` read."""
        return _rows({**read, "timestamp": self._times_of_steps(read["step"])})

    def _times_of_steps(self, steps: pa.Array) -> pa.Array:
        return pa.array(steps.to_numpy().astype(np.int64) * HOUR_MS + self._start_ms).view(_TIME)

    def _ids(self, numbers: np.ndarray) -> pa.Array:
        digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width=ROW_DIGITS, padding="0")
        return pc.binary_join_element_wise(self._id_prefix, digits, "-")


def _rows(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([columns[name] for name in TRANSACTION_COLUMNS], schema=ROWS)


def _minor_units(decimals: pa.Array) -> pa.Array:
    """int64 of decimal128 with scale 2: the lower half of the 128-bit integer, as 17 digits fit into 64 bits."""
    halves = np.frombuffer(decimals.buffers()[1], np.int64)
    lower = halves[2 * decimals.offset : 2 * (decimals.offset + len(decimals)) : 2]
    # Contiguous first: then Arrow takes the memory as it is, else it goes through the numbers one by one.
    return pa.array(np.ascontiguousarray(lower))


def _times(texts: pa.Array) -> pa.Array:
    """timestamp[ms], UTC, of texts that match the check of `timestamp`; finer fractions are cut off."""
    times = pc.utf8_slice_codeunits(texts, 0, 19).cast(pa.timestamp("s")).cast(_TIME)
    if pc.max(pc.binary_length(texts)).as_py() == 19:
        return times
    rest = pl.DataFrame({"rest": pl.Series(pc.utf8_slice_codeunits(texts, 19))})
    fraction = pl.col("rest").str.extract(r"^\.([0-9]{1,3})").str.pad_end(3, "0").cast(pl.Int64).fill_null(0)
    zone = pl.col("rest").str.extract_groups(r"(?<sign>[+-])(?<hour>[0-9]{2}):?(?<minute>[0-9]{2})$").struct
    minutes = zone.field("hour").cast(pl.Int64) * 60 + zone.field("minute").cast(pl.Int64)
    ahead = pl.when(zone.field("sign") == "-").then(-minutes).otherwise(minutes).fill_null(0)
    shift = rest.select(fraction - ahead * 60_000).to_series().to_numpy()
    return pa.array(times.cast(pa.int64()).to_numpy() + shift).view(_TIME)
