"""The engine that compacts a day in this process, with the memory that about a million rows take.

1. some threads download and unpack objects, ahead of
2. one thread that parses and sums them, a group of objects at a time, and proves each to hold what it says: numpy
   takes and gives back the interpreter's lock for each step, so that two such threads would be slower than one
3. the caller's thread sorts and writes what comes out of these
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fraudstream.lake.chain import Link
from fraudstream.lake.checksum import add, checksum
from fraudstream.lake.continuity import require_rows
from fraudstream.lake.engine import Rows, Vanished, Work, upload
from fraudstream.lake.manifest import ParquetFile
from fraudstream.lake.objects import ObjectInfo
from fraudstream.lake.parquet import LocalFile, write_files
from fraudstream.lake.reading import in_order, lines_of
from fraudstream.lake.schemas import regular_rows_of, rows_of_lines

log = logging.getLogger(__name__)

_DOWNLOADERS, _DOWNLOADS_AHEAD = 4, 4
_PARSERS, _GROUPS_AHEAD = 1, 16
#: Rows that are read at once.
_GROUP_ROWS = 8_000
_LOG_EVERY_ROWS = 1_000_000


def one_machine(work: Work) -> tuple[Rows, list[ParquetFile]]:
    """:data:`~fraudstream.lake.engine.Engine` on this machine."""
    read = _Read()

    def done(number: int, local: LocalFile) -> ParquetFile:
        log.info("%s of %s: %d rows read, file of %d rows written", work.folder, work.day, read.count, local.rows)
        return upload(work, number, local)

    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as directory:
        files = write_files(work.folder, _sources(work, read), Path(directory), work.target_bytes, done)
    return Rows(read.count, read.checksum), files


class _Read:
    """What was read so far."""

    def __init__(self) -> None:
        self.count = 0
        self.checksum = 0


class _Buffer:
    """Lines of some objects one after the other, in memory that is used again: the kernel gives new memory slowly."""

    def __init__(self) -> None:
        self._memory = bytearray(8 << 20)

    def joined(self, bodies: list[bytes]) -> memoryview:
        """All of them; the next call overwrites what this one returns."""
        size = sum(map(len, bodies))
        if size > len(self._memory):
            self._memory = bytearray(size)
        end = 0
        for body in bodies:
            self._memory[end : end + len(body)] = body
            end += len(body)
        return memoryview(self._memory)[:end]


def _sources(work: Work, read: _Read) -> Iterator[pa.Table]:
    buffer = _Buffer()

    def download(info: ObjectInfo) -> "_Source":
        lines = lines_of(work.store, info)
        if lines is None:
            raise Vanished(info.name)
        return _Source(info.name, work.links[info.name], lines)

    def rows_of(group: list[_Source]) -> tuple[pa.Table, int]:
        rows = _rows(work.folder, group, buffer)
        return rows, checksum(rows)

    # 1. download and unpack
    downloaded = in_order(download, work.sources, _DOWNLOADERS, _DOWNLOADS_AHEAD)
    # 2. parse and sum
    for rows, of_rows in in_order(rows_of, _groups(downloaded), _PARSERS, _GROUPS_AHEAD):
        if (read.count + len(rows)) // _LOG_EVERY_ROWS > read.count // _LOG_EVERY_ROWS:
            log.info("%s of %s: %d rows read", work.folder, work.day, read.count + len(rows))
        read.count += len(rows)
        read.checksum = add(read.checksum, of_rows)
        yield rows


class _Source:
    """An object and what it says it holds."""

    def __init__(self, name: str, link: Link, lines: bytes) -> None:
        self.name = name
        self.link = link
        self.lines = lines


def _groups(sources: Iterator[_Source]) -> Iterator[list[_Source]]:
    """Consecutive objects, so many that what a call costs doesn't count."""
    group: list[_Source] = []
    rows = 0
    for source in sources:
        group.append(source)
        rows += source.link.rows
        if rows >= _GROUP_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _rows(folder: str, group: list[_Source], buffer: _Buffer) -> pa.Table:
    """Rows of some objects, each proven to hold what it says."""
    together = regular_rows_of(folder, buffer.joined([source.lines for source in group]))
    if together is None or len(together) != sum(source.link.rows for source in group):
        tables = [rows_of_lines(folder, source.name, source.lines) for source in group]
        together = pa.concat_tables(tables)
    else:
        # Offsets show whether each object has the rows of its own slice.
        tables, start = [], 0
        for source in group:
            tables.append(together.slice(start, source.link.rows))
            start += source.link.rows
    for source, rows in zip(group, tables, strict=True):
        require_rows(source.name, source.link, rows)
    return together
