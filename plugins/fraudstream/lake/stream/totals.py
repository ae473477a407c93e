"""Control totals: a few sums over rows that a lost, doubled or changed row would change.

They are made of the decoded columns before anything is formatted, kept in each object's metadata, and added up by
those who compare them with something else: compaction with its table, the audit against the topic. Text is measured
in characters (Unicode code points), which Arrow, DuckDB, Spark, Trino and BigQuery all call the length of a string;
a null adds nothing, so rows from before a column was added agree with rows that have it as null.
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
    """Rows, the sum of their offsets and, by name, of money columns in minor units and of the lengths of texts."""

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
        """Expected and found of each sum that differs, by name; a column that only `found` has isn't compared."""
        pairs = {"rows": (self.rows, found.rows), "offsets": (self.offsets, found.offsets)}
        pairs |= {name: (value, found.columns.get(name, 0)) for name, value in self.columns.items()}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def to_dict(self) -> dict[str, int]:
        """All sums by name."""
        return {"rows": self.rows, "offsets": self.offsets, **self.columns}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Totals":
        """Inverse of :meth:`to_dict`.

        :raises ValueError, KeyError: something else
        """
        sums = {name: int(value) for name, value in document.items()}
        return cls(sums.pop("rows"), sums.pop("offsets"), sums)

    def to_json(self) -> str:
        """For an object's metadata."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Totals":
        """Inverse of :meth:`to_json`.

        :raises ValueError, KeyError: something else
        """
        return cls.from_dict(json.loads(text))


def total(parts: Iterable[Totals]) -> Totals:
    """The sum of any number of totals."""
    return sum(parts, Totals())


def totals_of(offsets: np.ndarray, rows: pa.RecordBatch | pa.Table | None = None) -> Totals:
    """Totals of decoded rows, or of rows of the lake, at these offsets; without rows, only their number and places."""
    columns = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True) if rows is not None else ():
        if name in MONEY:
            columns[name] = _minor_units(column)
        elif is_text(column.type):
            columns[name] = _characters(column)
    return Totals(len(offsets), int(offsets.sum()), columns)


def totals_of_lines(lines: Iterable[bytes], columns: Iterable[str]) -> Totals:
    """Totals of JSON lines of records: the same as of the columns that they were made of, and far slower.

    :param columns: those that are summed
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
    # 64 bits could overflow
    if pa.types.is_decimal(column.type):
        return int(pc.sum(column.cast(pa.decimal128(_DIGITS, 2)), min_count=0).as_py() * 100)
    return int(pc.sum(column.cast(pa.decimal128(_DIGITS, 0)), min_count=0).as_py())


def _characters(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        lengths = pc.utf8_length(column.dictionary)
        return int(pc.sum(lengths.take(column.indices), min_count=0).as_py())
    return int(pc.sum(pc.utf8_length(column), min_count=0).as_py())


def rows_of(metadata: Mapping[str, str]) -> int:
    """The rows of a JSON object by its metadata; what is no such object has none."""
    return Totals.from_json(metadata["totals"]).rows if "totals" in metadata else 0
