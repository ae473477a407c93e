"""Checked columns to rows as include/schemas/transaction.avsc has them."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.dataset.columns.forms import TRANSACTION_COLUMNS, Form
from fraudstream.dataset.columns.values import FLAGS, MONEY

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


class Rows:
    """Makes the rows of one file; `start_date` is the time of step 0."""

    def __init__(self, form: Form, id_prefix: str, start_date: datetime) -> None:
        self._restamped = form.restamped
        self._id_prefix = id_prefix
        since = (start_date if start_date.tzinfo else start_date.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        self._start_ms = since // timedelta(milliseconds=1)

    def of(self, values: dict[str, pa.Array], numbers: np.ndarray) -> pa.RecordBatch:
        """Rows (:data:`ROWS`) of valid values; `numbers` (int64) are their row numbers."""
        columns = dict(values)
        if self._restamped:
            columns["step"] = pa.nulls(len(numbers), pa.int32())
        else:
            columns["idTransaction"] = self._ids(numbers)
            hours = columns["step"].to_numpy().astype(np.int64)
            columns["timestamp"] = pa.array(hours * HOUR_MS + self._start_ms).view(_TIME)
        if "isFlaggedFraud" not in columns:
            columns["isFlaggedFraud"] = pa.array(np.zeros(len(numbers), np.int32))
        return pa.RecordBatch.from_arrays([columns[name] for name in TRANSACTION_COLUMNS], schema=ROWS)

    def _ids(self, numbers: np.ndarray) -> pa.Array:
        digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width=ROW_DIGITS, padding="0")
        return pc.binary_join_element_wise(self._id_prefix, digits, "-")
