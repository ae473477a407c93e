"""When compiled code is worth it: Numba takes a second of each process that uses it; the code is kept for the next."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from isal import igzip

from fraudstream.lake.compaction import checksum, ordering
from fraudstream.lake.compaction.ordering import Ordering
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.lake.table import schemas

if TYPE_CHECKING:
    from fraudstream.lake.compaction.regular_lines import Reader

#: From so many rows on, that second is won back.
WORTH_ROWS = 250_000

Checksum = Callable[[pa.Table], int]


def checksum_for(rows: int) -> Checksum:
    """What sums so many rows fastest; all of these give the same sums."""
    if rows < WORTH_ROWS:
        return checksum.checksum
    from fraudstream.lake.compaction import compiled_checksum  # noqa: PLC0415  # importing Numba is part of that second

    return compiled_checksum.checksum


def reader_for(rows: int, folder: str) -> "Reader | None":
    """What reads the lines of so many rows fastest; None: the JSON parser is fast enough."""
    if rows < WORTH_ROWS or schemas.has_nested(folder):
        return None
    from fraudstream.lake.compaction import regular_lines  # noqa: PLC0415  # as above

    return regular_lines.Reader(schemas.coded_schema(folder))


def ordering_for(rows: int) -> Ordering:
    """What puts rows of a table of so many in order fastest."""
    if rows < WORTH_ROWS:
        return Ordering(ordering.keys, ordering.take)
    from fraudstream.lake.compaction import compiled_ordering  # noqa: PLC0415  # as above

    return Ordering(compiled_ordering.keys, compiled_ordering.take)


def load() -> None:
    """Loads what was compiled before, or compiles it, as importing a module would."""
    reader = reader_for(WORTH_ROWS, TRANSACTIONS)
    if reader is None:
        return
    fields = ",".join(f'"{field.name}":{_any_value(field.type)}' for field in schemas.coded_schema(TRANSACTIONS))
    rows = reader.rows([igzip.compress(f"{{{fields}}}\n".encode())], reader.block(1), 0, 1)
    if rows is not None:
        summed = checksum_for(WORTH_ROWS)
        summed(rows)
        summed(rows.cast(schemas.rows_schema(TRANSACTIONS)))  # as they are read back
        in_order = ordering_for(WORTH_ROWS)
        in_order.take(rows, np.arange(1))
        in_order.keys(rows["nameOrig"].chunk(0), np.arange(1))


def _any_value(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return '"2023-10-07T00:00:00.000Z"'
    if pa.types.is_decimal(kind):
        return "0.00"
    return "0" if pa.types.is_integer(kind) else '"x"'
