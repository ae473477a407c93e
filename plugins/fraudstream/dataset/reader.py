"""A PaySim file as a stream of checked chunks, from any row on.

Memory holds a chunk or two, whatever the file's size. Each chunk's `position` is exact: reading again from there
gives the rows after it and no other, whatever the sizes of chunks and blocks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from fraudstream.dataset.columns import Columns
from fraudstream.dataset.forms import Form, detect_form
from fraudstream.dataset.source import Source, Stream
from fraudstream.errors import DatasetError

if TYPE_CHECKING:
    from fraudstream.dataset.regular_rows import RegularRows

CHUNK_ROWS = 50_000
#: Size of a source from which on compiled code wins back the time that it takes to load.
WORTH_BYTES = 64 << 20
#: A chunk ends here too, so that long lines can't fill the memory.
CHUNK_BYTES = 32 << 20
LINE_BYTES = 1 << 20
HEADER_BYTES = 64 << 10
REJECTED_TEXT = 2_000
_BOM = b"\xef\xbb\xbf"
#: Bytes beyond ASCII, which no valid row has, become one that no check accepts: the pattern needs valid UTF-8.
_ASCII = bytes(range(128)) + b"\x1a" * 128


class Position(NamedTuple):
    """A place between rows: `byte` of the uncompressed content where the next row starts, `row` data rows before it.

    ``Position(0, 0)`` is the beginning of the file, before its header.
    """

    byte: int
    row: int


class Rejected(NamedTuple):
    """A line that is no valid row.

    `line` is its 1-based line in the file, `row` its 0-based place among the data rows, `text` its beginning (2,000
    characters at most, without the line break).
    """

    line: int
    row: int
    reason: str
    text: str


@dataclass(frozen=True)
class Chunk:
    """Consecutive data rows of the file.

    `rows` (:data:`fraudstream.dataset.columns.ROWS`) and `rejected` are in file order and make up all data rows up to
    `position`, where the next chunk starts. `row_numbers` (int64) has the place of each of `rows` among the data rows.
    `stored_bytes` is what is read so far of `Source.size`, for progress; a gzip is read ahead.
    """

    rows: pa.RecordBatch
    row_numbers: np.ndarray
    rejected: list[Rejected]
    position: Position
    stored_bytes: int


def read_chunks(
    source: Source, start: Position, *, start_date: datetime, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Chunk]:
    """The rows after `start`, `chunk_rows` at a time; none when the file ends there.

    Every line after the header is a data row: valid, or rejected with a reason. `start_date` is the time of step 0.

    :raises UnknownHeader: before any chunk
    :raises DatasetError: `start` is no position of this file, a line is over 1 MiB, or what :class:`Stream` raises
    """
    form, first = _read_header(source)
    if start != (0, 0) and start.byte < first:
        raise DatasetError(f"{source.uri}: position {start} lies in the header, which ends at byte {first}")
    return _chunks(source, form, Position(max(start.byte, first), start.row), start_date, chunk_rows)


def _chunks(source: Source, form: Form, position: Position, start_date: datetime, chunk_rows: int) -> Iterator[Chunk]:
    columns = Columns(form, source.id_prefix, start_date)
    regular_rows = _regular_rows(source, form)
    pattern = form.line
    stream = source.stream(position.byte)
    for lines, ends in _whole_lines(source, stream, position, chunk_rows):
        regular = regular_rows.columns(lines, len(ends), position.row) if regular_rows else None
        valid = np.ones(len(ends), bool) if regular else _matches(lines, ends, pattern)
        numbers = position.row + np.flatnonzero(valid)
        rejected = [_reject(form, lines, ends, int(i), position.row) for i in np.flatnonzero(~valid)]
        if regular:
            rows = columns.regular(regular)
        else:
            rows = columns.rows(_selected(lines, ends, valid) if rejected else lines, numbers)
        position = Position(position.byte + len(lines), position.row + len(ends))
        stored = stream.stored_bytes if source.compressed else position.byte
        yield Chunk(rows, numbers, rejected, position, stored)


def _regular_rows(source: Source, form: Form) -> "RegularRows | None":
    if form.restamped or source.size < WORTH_BYTES:
        return None
    from fraudstream.dataset.regular_rows import RegularRows  # noqa: PLC0415  # importing Numba takes half a second

    return RegularRows(form, source.id_prefix)


def _read_header(source: Source) -> tuple[Form, int]:
    """The file's form, and the byte where its rows start."""
    head = b""
    for block in replace(source, block_bytes=min(source.block_bytes, HEADER_BYTES)).stream():
        head += block
        if b"\n" in block or len(head) >= HEADER_BYTES:
            break
    line, newline, _ = head.partition(b"\n")
    text = line.removeprefix(_BOM).removesuffix(b"\r").decode(errors="backslashreplace")
    return detect_form(text, source.uri), len(line) + len(newline)


def _whole_lines(
    source: Source, stream: Stream, start: Position, chunk_rows: int
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Pieces of at most `chunk_rows` lines, with the end (int64) of each line, its line break included."""
    pending: list[bytes] = []
    size = newlines = unfinished = 0
    rows = start.row
    for block in stream:
        pending.append(block)
        size += len(block)
        found = block.count(b"\n")
        newlines += found
        unfinished = len(block) - block.rfind(b"\n") - 1 if found else unfinished + len(block)
        if unfinished > LINE_BYTES:
            raise DatasetError(
                f"{source.uri}: line {rows + newlines + 2:,} is longer than {LINE_BYTES:,} bytes: no PaySim file"
            )
        if newlines < chunk_rows and size < CHUNK_BYTES:
            continue
        content = b"".join(pending)
        ends = _line_ends(content)
        whole = newlines if size >= CHUNK_BYTES else newlines - newlines % chunk_rows
        taken = 0
        for first in range(0, whole, chunk_rows):
            piece = ends[first : min(first + chunk_rows, whole)]
            yield content[taken : piece[-1]], piece - taken
            taken = int(piece[-1])
        rows += whole
        newlines -= whole
        pending = [content[taken:]]
        size = len(pending[0])
    rest = b"".join(pending)
    if rest:
        ends = _line_ends(rest)
        yield rest, ends if len(ends) and ends[-1] == len(rest) else np.append(ends, len(rest))


def _line_ends(content: bytes) -> np.ndarray:
    return np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n")) + 1


def _matches(lines: bytes, ends: np.ndarray, pattern: str) -> np.ndarray:
    """Which lines are valid rows (bool)."""
    offsets = np.zeros(len(ends) + 1, np.int32)
    offsets[1:] = ends
    text = lines if lines.isascii() else lines.translate(_ASCII)
    array = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(text))
    return pl.Series(array).str.contains(pattern).to_numpy()


def _selected(lines: bytes, ends: np.ndarray, valid: np.ndarray) -> bytes:
    lengths = np.diff(ends, prepend=0)
    selected: bytes = np.frombuffer(lines, np.uint8)[np.repeat(valid, lengths)].tobytes()
    return selected


def _reject(form: Form, lines: bytes, ends: np.ndarray, index: int, first_row: int) -> Rejected:
    line = lines[ends[index - 1] if index else 0 : ends[index]]
    text = line.decode(errors="backslashreplace")
    reason = form.reason(text)
    if not line.endswith(b"\n"):
        reason += "; the file ends in this row, without a line break: it may be cut off"
    row = first_row + index
    return Rejected(row + 2, row, reason, text.rstrip("\r\n")[:REJECTED_TEXT])
