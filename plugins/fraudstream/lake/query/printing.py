"""Prints the rows of a query's result as a table, CSV or JSON. Money has two decimals in all formats.

CSV and JSON are written batch by batch. A table is printed after all rows were read.
"""

import csv
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

_AS_WIDE_AS_IT_GETS = 10_000


def console(out: IO[str], **options: Any) -> Console:
    """Returns a console that writes to `out`. If `out` is not a terminal, lines are neither cut nor wrapped."""
    return Console(file=out, width=None if out.isatty() else _AS_WIDE_AS_IT_GETS, **options)


def as_table(rows: pa.RecordBatchReader, out: IO[str]) -> None:
    """Prints all rows as a table with a frame."""
    table = Table()
    for field in rows.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_decimal(field.type) or pa.types.is_floating(field.type)
        table.add_column(field.name, justify="right" if number else "left")
    for batch in rows:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            table.add_row(*map(_text, row))
    console(out, markup=False, highlight=False).print(table)


def as_csv(rows: pa.RecordBatchReader, out: IO[str]) -> None:
    """Writes a header and one line per row; NULL is an empty field."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(rows.schema.names)
    for batch in rows:
        writer.writerows(
            [_text(value) for value in row]
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        )


def as_json(rows: pa.RecordBatchReader, out: IO[str]) -> None:
    """Writes one JSON document per line, as in the lake. DECIMAL is a number with all its decimals."""
    for batch in rows:
        for row in batch.to_pylist():
            out.write(_json(row) + "\n")


FORMATS: dict[str, Callable[[pa.RecordBatchReader, IO[str]], None]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return _json(value)
    return _time(value) if isinstance(value, datetime) else str(value)


def _time(value: datetime) -> str:
    """Returns a time with zone as ISO 8601 UTC with milliseconds, as in the lake's lines; without zone, as ISO 8601."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bool | int | float) or value is None:
        return json.dumps(value)
    return json.dumps(_time(value) if isinstance(value, datetime) else str(value), ensure_ascii=False)
