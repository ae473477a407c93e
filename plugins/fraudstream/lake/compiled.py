"""When compiled code is worth it: Numba takes a second of each process that uses it; the code is kept for the next."""

from collections.abc import Callable, Sequence

import pyarrow as pa
from isal import igzip

from fraudstream.lake import checksum, schemas
from fraudstream.lake.names import TRANSACTIONS

#: From so many rows on, that second is won back.
WORTH_ROWS = 250_000

Checksum = Callable[[pa.Table], int]
#: Rows of the gzipped lines of some objects, or None: these have to be parsed as JSON.
Reader = Callable[[Sequence[bytes]], pa.Table | None]


def checksum_for(rows: int) -> Checksum:
    """What sums so many rows fastest; all of these give the same sums."""
    if rows < WORTH_ROWS:
        return checksum.checksum
    from fraudstream.lake import compiled_checksum  # noqa: PLC0415  # importing Numba is part of that second

    return compiled_checksum.checksum


def reader_for(rows: int, folder: str) -> Reader | None:
    """What reads the lines of so many rows fastest; None: the JSON parser is fast enough."""
    if rows < WORTH_ROWS or schemas.has_nested(folder):
        return None
    from fraudstream.lake import regular_lines  # noqa: PLC0415  # as above

    return regular_lines.Reader(schemas.coded_schema(folder)).rows


def load() -> None:
    """Loads what was compiled before, or compiles it, as importing a module would."""
    reader = reader_for(WORTH_ROWS, TRANSACTIONS)
    if reader is not None:
        reader([igzip.compress(b"{}\n")])
    checksum_for(WORTH_ROWS)(schemas.coded_schema(TRANSACTIONS).empty_table())
