"""The engine that compacts a day in this process, with the memory that about a million rows take.

1. some threads download, unpack, parse and sum objects, a group at a time, and prove each to hold what it says
2. the caller's thread collects what comes out of these, sorts and writes it

What takes time in either runs without the interpreter's lock.
"""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from fraudstream.lake.chain import Link
from fraudstream.lake.checksum import add
from fraudstream.lake.compiled import Reader, checksum_for, reader_for
from fraudstream.lake.continuity import require_rows
from fraudstream.lake.engine import Rows, Vanished, Work, upload
from fraudstream.lake.manifest import ParquetFile
from fraudstream.lake.objects import ObjectInfo
from fraudstream.lake.parquet import LocalFile, write_files
from fraudstream.lake.reading import in_order, unpacked
from fraudstream.lake.schemas import coded_schema, rows_of_lines

log = logging.getLogger(__name__)

#: As many wait for the store as others keep the processor busy.
_READERS = 4
#: Rows that are read at once.
_GROUP_ROWS = 8_000
_LOG_EVERY_ROWS = 1_000_000
_KEEP_MEMORY_MS = 10_000


def one_machine(work: Work) -> tuple[Rows, list[ParquetFile]]:
    """:data:`~fraudstream.lake.engine.Engine` on this machine."""
    _keep_memory()
    read = _Read()

    def done(number: int, local: LocalFile) -> ParquetFile:
        log.info("%s of %s: %d rows read, file of %d rows written", work.folder, work.day, read.count, local.rows)
        return upload(work, number, local)

    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as directory:
        files = write_files(work.folder, _sources(work, read), Path(directory), work.target_bytes, done)
    return Rows(read.count, read.checksum), files


def _keep_memory() -> None:
    """Lets Arrow hand out again what was freed: giving pages back and getting new ones costs as much as sorting."""
    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(_KEEP_MEMORY_MS)


class _Read:
    """What was read so far."""

    def __init__(self) -> None:
        self.count = 0
        self.checksum = 0


def _sources(work: Work, read: _Read) -> Iterator[pa.Table]:
    total = sum(link.rows for link in work.links.values())
    reader, checksum = reader_for(total, work.folder), checksum_for(total)

    def rows_of(group: list[ObjectInfo]) -> tuple[pa.Table, int]:
        # 1. download, unpack, parse, sum
        rows = _rows(work.folder, [_source(work, info) for info in group], reader)
        return rows, checksum(rows)

    # 2. collect
    for rows, of_rows in in_order(rows_of, _groups(work), _READERS):
        if (read.count + len(rows)) // _LOG_EVERY_ROWS > read.count // _LOG_EVERY_ROWS:
            log.info("%s of %s: %d rows read", work.folder, work.day, read.count + len(rows))
        read.count += len(rows)
        read.checksum = add(read.checksum, of_rows)
        yield rows


class _Source:
    """An object and what it says it holds."""

    def __init__(self, name: str, link: Link, data: bytes) -> None:
        self.name = name
        self.link = link
        self.data = data


def _source(work: Work, info: ObjectInfo) -> _Source:
    data = work.store.download(info)
    if data is None:
        raise Vanished(info.name)
    return _Source(info.name, work.links[info.name], data)


def _groups(work: Work) -> Iterator[list[ObjectInfo]]:
    """Consecutive objects, so many that what a call costs doesn't count."""
    group: list[ObjectInfo] = []
    rows = 0
    for info in work.sources:
        group.append(info)
        rows += work.links[info.name].rows
        if rows >= _GROUP_ROWS:
            yield group
            group, rows = [], 0
    if group:
        yield group


def _rows(folder: str, group: list[_Source], reader: Reader | None) -> pa.Table:
    """Rows of some objects, each proven to hold what it says."""
    together = reader([source.data for source in group]) if reader else None
    if together is None or len(together) != sum(source.link.rows for source in group):
        tables = [rows_of_lines(folder, source.name, unpacked(source.name, source.data)) for source in group]
        together = pa.concat_tables(tables).cast(coded_schema(folder))
    else:
        # Offsets show whether each object has the rows of its own slice.
        tables, start = [], 0
        for source in group:
            tables.append(together.slice(start, source.link.rows))
            start += source.link.rows
    for source, rows in zip(group, tables, strict=True):
        require_rows(source.name, source.link, rows)
    return together
