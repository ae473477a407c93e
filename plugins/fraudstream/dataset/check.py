"""What the producer would make of a file, as figures."""

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
    """A file that can be read; `rows` are the valid ones, `notation` is that of the numbers in its first MiB."""

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
        """The same as JSON has it."""
        return asdict(self) | {"reasons": [reason._asdict() for reason in self.reasons]}

    def tables(self) -> list[Table]:
        """The figures, and the most frequent reasons for which rows are rejected."""
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
    """Reads a file as the producer would; `progress` is called with the stored bytes read so far.

    :raises DatasetError: the producer would refuse it
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
