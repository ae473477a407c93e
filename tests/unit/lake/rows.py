"""Batches of records for tests of the lake."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from fraudstream.kafka.avro.codec import arrow_schema
from fraudstream.kafka.records import FRAUD_CONFIRMATION, NON_FRAUD_TRANSACTION, Batch, Partition

PARTITION = Partition(NON_FRAUD_TRANSACTION, 3)
DAY_MS = 86_400_000
#: 2023-10-07T00:00:00Z
MIDNIGHT_MS = 1_696_636_800_000


def row(number: int, **values: object) -> dict[str, object]:
    """A transaction; `number` makes it unique."""
    return {
        "idTransaction": f"tx-{number}",
        "timestamp": MIDNIGHT_MS + number,
        "step": 1,
        "type": "PAYMENT",
        "amount": 983_964 + number,
        "nameOrig": f"C{number % 7}",
        "oldbalanceOrg": 17_013_600,
        "newbalanceOrig": 16_029_636,
        "nameDest": f"M{number}",
        "oldbalanceDest": 0,
        "newbalanceDest": 0,
        "isFraud": 0,
        "isFlaggedFraud": 0,
    } | values


def answer(number: int, status: str, **values: object) -> dict[str, object]:
    """An answer to the case of transaction `number`."""
    return row(number, isFraud=1, status=status, answeredAt=MIDNIGHT_MS + number, **values)


def batch(
    offsets: Sequence[int],
    *,
    rows: Sequence[dict[str, object]] | None = None,
    timestamps: Sequence[int] | None = None,
    next_offset: int | None = None,
    partition: Partition = PARTITION,
) -> Batch:
    """Records at `offsets`, by default with a row derived from the offset, all at midnight of 2023-10-07."""
    schema = arrow_schema(
        FRAUD_CONFIRMATION if rows and "status" in rows[0] and rows[0]["status"] != "PENDING" else NON_FRAUD_TRANSACTION
    )
    return Batch(
        partition,
        np.asarray(offsets, np.int64),
        np.asarray([MIDNIGHT_MS] * len(offsets) if timestamps is None else timestamps, np.int64),
        pa.RecordBatch.from_pylist([row(offset) for offset in offsets] if rows is None else list(rows), schema),
        (offsets[-1] + 1 if len(offsets) else 0) if next_offset is None else next_offset,
    )
