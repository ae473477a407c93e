"""Reads the rows of a customer directory in a file, in pieces: CSV (plain or gzip) or Parquet."""

import csv
import gzip
import logging
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import SettingsError
from fraudstream.mail.customers.directory import COLUMNS, NEEDED, Entry

logger = logging.getLogger(__name__)

_ROWS = 50_000


def rows_of(file: IO[bytes], shown: str) -> Iterator[Entry]:
    """Yields the entries of a file.

    An entry that can't be parsed has a `problem`. Malformed lines of a CSV without an account are only logged.

    :param shown: the name of the file for messages
    :raises SettingsError: the file has another format, is damaged, or lacks a column
    """
    try:
        magic = file.read(4)
        file.seek(0)
        if magic == b"PAR1":
            yield from _parquet_rows(file, shown)
        elif magic[:2] == b"\x1f\x8b":
            with gzip.open(file, "rb") as lines:
                yield from _csv_rows(cast(IO[bytes], lines), shown)
        else:
            yield from _csv_rows(file, shown)
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise SettingsError(f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {shown}, which can't be read: {error}") from error


def require_columns(found: Iterable[str], shown: str) -> None:
    """Checks that a table has the required columns.

    :raises SettingsError: a column is missing
    """
    found = list(found)
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise SettingsError(
            f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {shown}, which has no column {' and no column '.join(missing)}: "
            f"found {', '.join(found)[:200] or 'none'}; expected account, address and maybe language, time_zone, name"
        )


def _parquet_rows(file: IO[bytes], shown: str) -> Iterator[Entry]:
    with pq.ParquetFile(file) as parquet:
        require_columns(parquet.schema_arrow.names, shown)
        names = [name for name in COLUMNS if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(_ROWS, columns=names):
            columns = {name: _texts(batch[name]) for name in names}
            empty = [""] * len(batch)
            yield from map(Entry, *(columns.get(name, empty) for name in COLUMNS))


def _texts(column: pa.Array) -> list[str]:
    values = column.cast(pa.string()).fill_null("")
    try:
        return cast(list[str], values.to_pylist())
    except UnicodeDecodeError:  # a replacement character makes an address invalid
        return [value.decode(errors="replace") for value in values.cast(pa.binary()).to_pylist()]


def _csv_rows(lines: IO[bytes], shown: str) -> Iterator[Entry]:
    """Parses each line by itself, so that a missing closing quote affects only its own row."""
    header = _fields(lines.readline().removeprefix(b"\xef\xbb\xbf"))
    names = [name.strip().lower() for name in header] if isinstance(header, list) else []
    require_columns(names, shown)
    places = [names.index(name) if name in names else None for name in COLUMNS]
    lost, first_lost = 0, ""
    for number, line in enumerate(lines, 2):
        fields = _fields(line)
        if isinstance(fields, list) and len(fields) == len(names):
            yield Entry(*("" if place is None else fields[place].strip() for place in places))
        elif line.strip():
            problem = fields if isinstance(fields, str) else f"{len(fields)} fields instead of {len(names)}"
            account = _account(line, names.index("account"))
            if account:
                yield Entry(account, "", problem=f"line {number:,} has {problem}")
            else:
                lost, first_lost = lost + 1, first_lost or f"line {number:,} has {problem}"
    if lost:
        logger.warning("customer directory %s: %d lines without an account are left out; %s", shown, lost, first_lost)


def _fields(line: bytes) -> list[str] | str:
    """Returns the fields of a line, or a text that says why it can't be parsed."""
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return "bytes that are not UTF-8"
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        return "a quote that doesn't enclose a field"


def _account(line: bytes, place: int) -> str:
    fields: Sequence[bytes] = line.rstrip(b"\r\n").split(b",")
    return fields[place].decode(errors="ignore").strip().strip('"') if place < len(fields) else ""
