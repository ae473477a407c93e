"""Checks a file as the producer would: counts its valid and rejected rows, and the reasons for rejections."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow.compute as pc
from rich.table import Table

from fraudstream.dataset.head import Head
from fraudstream.dataset.reader import Position, read_chunks
from fraudstream.dataset.source.source import Source
from fraudstream.dataset.tally import Reason, Tally


@dataclass(frozen=True)
class Found:
    """The result for a file that can be read.

    `rows` counts the valid rows, `blank` the blank lines. `notation` is that of the numbers in the first MiB.
    """

    file: str
    packing: str
    form: str
    notation: str
    rows: int
    frauds: int
    rejected: int
    blank: int
    reasons: list[Reason]

    def to_json(self) -> dict[str, Any]:
        """Returns the result as a JSON object."""
        return asdict(self) | {"reasons": [reason._asdict() for reason in self.reasons]}

    def tables(self) -> list[Table]:
        """Returns a table of the figures and, if rows are rejected, a table of the most frequent reasons."""
        figures = Table(box=None, show_header=False, pad_edge=False)
        for name, value in asdict(self).items():
            if name not in {"file", "reasons"}:
                figures.add_row(name, f"{value:,}" if isinstance(value, int) else value)
        if not self.reasons:
            return [figures]
        reasons = Table("rejected", "reason", "first line", "found there", box=None, pad_edge=False)
        for reason in self.reasons:
            reasons.add_row(f"{reason.rows:,}", reason.rule, f"{reason.line:,}", reason.found)
        return [figures, reasons]


def check(source: Source, start_date: datetime, progress: Callable[[int], None]) -> Found:
    """Reads a file as the producer would, and returns what was found.

    :param progress: called with the number of stored bytes that were read so far
    :raises DatasetError: the producer would refuse the file
    """
    head = Head.of(source)
    rows = frauds = rejected = blank = 0
    tally = Tally()
    for chunk in read_chunks(source, Position(0, 0), start_date=start_date):
        rows += chunk.rows.num_rows
        frauds += pc.sum(chunk.rows.column("isFraud")).as_py() or 0
        rejected += len(chunk.rejected)
        blank = chunk.position.blank
        tally.add(chunk.rejected)
        progress(chunk.stored_bytes)
    return Found(
        source.uri,
        source.packing,
        head.form.name,
        head.notation.name,
        rows,
        frauds,
        rejected,
        blank,
        tally.most_frequent(),
    )
