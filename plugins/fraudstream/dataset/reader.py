"""Reads a PaySim file as a stream of checked chunks, from any position on.

Memory holds one or two chunks, for files of any size. The `position` of a chunk is exact: a new reader that starts
there returns all rows after it and no others, even with other sizes of chunks and blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fraudstream.dataset.head import Head
from fraudstream.dataset.lines import Checked, Fault, LineReader, Rejected
from fraudstream.dataset.rows import Rows
from fraudstream.dataset.seen_ids import SeenIds
from fraudstream.dataset.source.source import Source
from fraudstream.dataset.source.stream import Stream
from fraudstream.errors import DatasetError

CHUNK_ROWS = 50_000
#: Size at which a chunk ends even with fewer rows, so that long lines can't fill the memory.
CHUNK_BYTES = 32 << 20
LINE_BYTES = 1 << 20
REJECTED_TEXT = 2_000


class Position(NamedTuple):
    """A place between rows: the byte in the unpacked content at which the next row starts.

    `row` is the number of data rows before it, and `blank` the number of blank lines, which are not rows.
    ``Position(0, 0)`` is the start of the file, before its header.
    """

    byte: int
    row: int
    blank: int = 0

    @property
    def line(self) -> int:
        """The 1-based number of the line that starts at this position: the next row, or a blank line."""
        return self.row + self.blank + 2


@dataclass(frozen=True)
class Chunk:
    """Consecutive data rows of the file.

    `rows` (:data:`fraudstream.dataset.rows.ROWS`) and `rejected` are in file order. Together they are all data rows up
    to `position`, where the next chunk starts. `row_numbers` (int64) has the row number of each of `rows`.
    `stored_bytes` is how much of `Source.size` has been read, for progress; a packed source is read ahead.
    """

    rows: pa.RecordBatch
    row_numbers: np.ndarray
    rejected: list[Rejected]
    position: Position
    stored_bytes: int


def read_chunks(
    source: Source, start: Position, *, start_date: datetime, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Chunk]:
    """Yields the rows after `start`, `chunk_rows` at a time. Yields nothing if the file ends there.

    Every line after the header that isn't blank is a data row: it is valid, or rejected with a reason. In a re-stamped
    file, a row is rejected if an earlier row has the same id. So reading from the middle of a re-stamped file also
    reads the rows before `start`.

    :param start_date: time of step 0
    :raises WrongFormat: before the first chunk: the file is not CSV. Before the first chunk, rarely later: a
        spreadsheet has rounded its numbers
    :raises UnknownHeader: before the first chunk: the header matches no known form
    :raises DatasetError: the source is a replay of rows with their own ids, `start` is not a position of this file, or
        a line is longer than 1 MiB; also the errors of :class:`Stream`
    """
    head = Head.of(source)
    if source.replay and head.form.restamped:
        raise DatasetError(
            f"{source.uri} is re-stamped: its rows have ids of their own and can't be produced once more"
        )
    if start != Position(0, 0) and start.byte < head.first:
        raise DatasetError(f"{source.uri}: position {start} lies in the header, which ends at byte {head.first}")
    return _chunks(source, head, start._replace(byte=max(start.byte, head.first)), start_date, chunk_rows)


def _chunks(source: Source, head: Head, position: Position, start_date: datetime, chunk_rows: int) -> Iterator[Chunk]:
    reader = LineReader(head.form)
    rows = Rows(head.form, source.id_prefix, start_date)
    seen = _seen_before(source, head, position) if head.form.restamped else None
    stream = source.stream(position.byte)
    for lines, ends in _whole_lines(source, stream, position, chunk_rows):
        checked = reader.check(lines, len(ends))
        head.refuse_rounded(lines, checked, position.line)
        faults = {index: _fault(reader, lines, ends, index) for index in np.flatnonzero(~checked.valid).tolist()}
        if seen is not None:
            checked, repeated = _without_repeated(checked, seen)
            faults |= {index: (_text(lines, ends, index), fault) for index, fault in repeated.items()}
        # Blank lines are not rows: they have no row number.
        is_row = np.ones(len(ends), bool)
        is_row[[index for index, found in faults.items() if found is None]] = False
        numbers = position.row + np.cumsum(is_row) - 1
        rejected = [
            Rejected(position.line + index, int(numbers[index]), fault.reason, text, fault.rule, fault.found)
            for index, (text, fault) in sorted((index, found) for index, found in faults.items() if found is not None)
        ]
        numbers = numbers[checked.valid]
        count = int(is_row.sum())
        blank = len(ends) - count
        position = Position(position.byte + len(lines), position.row + count, position.blank + blank)
        stored = position.byte if source.packing == "none" else stream.stored_bytes
        yield Chunk(rows.of(checked.values, numbers), numbers, rejected, position, stored)


def _seen_before(source: Source, head: Head, position: Position) -> SeenIds:
    """Reads all rows before a position again, and returns their ids."""
    seen = SeenIds()
    before = Position(head.first, 0)
    if position == before:
        return seen
    reader = LineReader(head.form)
    left = position.line - before.line
    for lines, ends in _whole_lines(source, source.stream(before.byte), before, CHUNK_ROWS):
        checked = reader.check(lines, len(ends))
        ids = checked.values["idTransaction"]
        seen.add(ids.slice(0, int(checked.valid[:left].sum())))
        left -= len(ends)
        if left <= 0:
            break
    return seen


def _without_repeated(checked: Checked, seen: SeenIds) -> tuple[Checked, dict[int, Fault]]:
    """Returns the rows whose id no earlier row has, and the faults of the other rows by the index of their lines."""
    ids = checked.values["idTransaction"]
    repeated = seen.add(ids)
    if not repeated.any():
        return checked, {}
    where = np.flatnonzero(checked.valid)[repeated].tolist()
    found = ids.filter(pa.array(repeated)).to_pylist()
    faults = {
        index: Fault.of("column idTransaction", repr(name), "an id that no earlier row has")
        for index, name in zip(where, found, strict=True)
    }
    valid = checked.valid.copy()
    valid[where] = False
    kept = pa.array(~repeated)
    return checked._replace(valid=valid, values={name: v.filter(kept) for name, v in checked.values.items()}), faults


def _fault(reader: LineReader, lines: bytes, ends: np.ndarray, index: int) -> tuple[str, Fault] | None:
    """Returns text and fault of a line that failed its check; None: the line is blank."""
    text = _text(lines, ends, index)
    fault = reader.fault(text)
    if fault is None:
        return None
    if not lines.endswith(b"\n") and index == len(ends) - 1:
        cut = "; the file ends in this row, without a line break: it may be cut off"
        fault = fault._replace(reason=fault.reason + cut)
    return text[:REJECTED_TEXT], fault


def _text(lines: bytes, ends: np.ndarray, index: int) -> str:
    """Returns a line without its line break."""
    line = lines[ends[index - 1] if index else 0 : ends[index]]
    return line.decode(errors="backslashreplace").rstrip("\r\n")


def _whole_lines(
    source: Source, stream: Stream, start: Position, chunk_rows: int
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yields pieces of at most `chunk_rows` complete lines, with the end (int64) of each line in its piece.

    The end of a line is behind its line break.

    :raises DatasetError: a line is longer than 1 MiB
    """
    pending: list[bytes] = []
    ends: list[np.ndarray] = []
    size = newlines = unfinished = 0
    line = start.line
    for block in stream:
        found = _line_ends(block)
        pending.append(block)
        ends.append(size + found)
        size += len(block)
        newlines += len(found)
        unfinished = len(block) - int(found[-1]) if len(found) else unfinished + len(block)
        if unfinished > LINE_BYTES:
            raise DatasetError(
                f"{source.uri}: line {line + newlines:,} is longer than {LINE_BYTES:,} bytes: no PaySim file"
            )
        if newlines < chunk_rows and size < CHUNK_BYTES:
            continue
        content, every = b"".join(pending), np.concatenate(ends)
        whole = newlines if size >= CHUNK_BYTES else newlines - newlines % chunk_rows
        taken = 0
        for first in range(0, whole, chunk_rows):
            piece = every[first : min(first + chunk_rows, whole)]
            yield content[taken : piece[-1]], piece - taken
            taken = int(piece[-1])
        line += whole
        newlines -= whole
        pending, ends = [content[taken:]], [every[whole:] - taken]
        size -= taken
    if size:
        every = np.concatenate(ends)
        yield b"".join(pending), every if len(every) and every[-1] == size else np.append(every, size)


def _line_ends(content: bytes) -> np.ndarray:
    return np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1
