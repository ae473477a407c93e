"""Control totals: sums over rows that show whether rows were lost, duplicated or changed.

They are calculated from the decoded columns before anything is formatted, and stored in each object's metadata.
Compaction adds up the totals of its objects and compares them with those of the rows that it adds to the table. The
audit calculates the totals of the topic's records and of the lake's rows, and compares them.

Text is measured in characters (Unicode code points), as Arrow, DuckDB, Spark, Trino and BigQuery all define the length
of a string. A change that keeps the length of a text is not noticed. A null adds nothing, so rows that were written
before a column was added have the same totals as rows in which it is null.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.lake.stream.lines import MONEY, is_text

_DIGITS = 38


@dataclass(frozen=True, slots=True)
class Totals:
    """The number of rows, the sum of their offsets, and sums by column: of money in minor units, of text lengths."""

    rows: int = 0
    offsets: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Totals") -> "Totals":
        names = [*self.columns, *(name for name in other.columns if name not in self.columns)]
        return Totals(
            self.rows + other.rows,
            self.offsets + other.offsets,
            {name: self.columns.get(name, 0) + other.columns.get(name, 0) for name in names},
        )

    def differences(self, found: "Totals") -> dict[str, tuple[int, int]]:
        """The expected and the found value of each sum that differs, by name.

        A column that only `found` has isn't compared.
        """
        pairs = {"rows": (self.rows, found.rows), "offsets": (self.offsets, found.offsets)}
        pairs |= {name: (value, found.columns.get(name, 0)) for name, value in self.columns.items()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def to_dict(self) -> dict[str, int]:
        """All sums by name."""
        return {"rows": self.rows, "offsets": self.offsets, **self.columns}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Totals":
        """Inverse of :meth:`to_dict`.

        :raises ValueError, KeyError: the document isn't one of :meth:`to_dict`
        """
        sums = {name: int(value) for name, value in document.items()}
        return cls(sums.pop("rows"), sums.pop("offsets"), sums)

    def to_json(self) -> str:
        """All sums as JSON, for an object's metadata."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Totals":
        """Inverse of :meth:`to_json`.

        :raises ValueError, KeyError: the text isn't one of :meth:`to_json`
        """
        return cls.from_dict(json.loads(text))


def total(parts: Iterable[Totals]) -> Totals:
    """The sum of any number of totals."""
    return sum(parts, Totals())


def totals_of(offsets: np.ndarray, rows: pa.RecordBatch | pa.Table | None = None) -> Totals:
    """Totals of decoded rows or of rows of the lake with these offsets. Without `rows`, no columns are summed."""
    columns = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True) if rows is not None else ():
        if name in MONEY:
            columns[name] = _minor_units(column)
        elif is_text(column.type):
            columns[name] = _characters(column)
    return Totals(len(offsets), int(offsets.sum()), columns)


def totals_of_lines(lines: Iterable[bytes], columns: Iterable[str]) -> Totals:
    """Totals of JSON lines of records. They equal those of the columns, but are far slower to calculate.

    :param columns: names of the columns to sum
    """
    offsets, sums = [], dict.fromkeys(columns, 0)
    for line in lines:
        values = json.loads(line, parse_float=Decimal)
        offsets.append(values["offset"])
        for name in sums:
            value = values.get(name)
            if isinstance(value, str):
                sums[name] += len(value)
            elif value is not None:
                sums[name] += int(value * 100)
    return Totals(len(offsets), sum(offsets), sums)


def _minor_units(column: pa.Array) -> int:
    # a sum in 64 bits could overflow
    if pa.types.is_decimal(column.type):
        return int(pc.sum(column.cast(pa.decimal128(_DIGITS, 2)), min_count=0).as_py() * 100)
    return int(pc.sum(column.cast(pa.decimal128(_DIGITS, 0)), min_count=0).as_py())


def _characters(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        lengths = pc.utf8_length(column.dictionary)
        return int(pc.sum(lengths.take(column.indices), min_count=0).as_py())
    return int(pc.sum(pc.utf8_length(column), min_count=0).as_py())


def rows_of(metadata: Mapping[str, str]) -> int:
    """The number of rows of a JSON object, from its metadata; 0 for an object without totals."""
    return Totals.from_json(metadata["totals"]).rows if "totals" in metadata else 0
