"""Converts checked columns to rows of the schema include/schemas/transaction.avsc."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.dataset.columns.forms import TRANSACTION_COLUMNS, Form
from fraudstream.dataset.columns.values import FLAGS, MONEY

HOUR_MS = 3_600_000
#: Minimum number of digits of the row number in an id.
ROW_DIGITS = 9
_TIME = pa.timestamp("ms")
_ARROW = {
    "timestamp": _TIME,
    "step": pa.int32(),
    **dict.fromkeys(MONEY, pa.int64()),
    **dict.fromkeys(FLAGS, pa.int32()),
}
#: The Arrow schema of the reader's rows. The batch encoder for the Avro schema Transaction accepts it.
ROWS = pa.schema([(name, _ARROW.get(name, pa.string())) for name in TRANSACTION_COLUMNS])


class Rows:
    """Makes the rows of one file.

    :param id_prefix: prefix of the row ids, unless the file has ids of its own
    :param start_date: time of step 0; UTC if it has no time zone
    """

    def __init__(self, form: Form, id_prefix: str, start_date: datetime) -> None:
        self._restamped = form.restamped
        self._id_prefix = id_prefix
        since = (start_date if start_date.tzinfo else start_date.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
        self._start_ms = since // timedelta(milliseconds=1)

    def of(self, values: dict[str, pa.Array], numbers: np.ndarray) -> pa.RecordBatch:
        """Returns rows with the schema :data:`ROWS`.

        :param values: columns of valid values
        :param numbers: the row numbers (int64)
        """
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
