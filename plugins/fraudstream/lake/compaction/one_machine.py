"""The engine that compacts a day in this process, with the memory that about a million rows take.

1. some threads download, unpack, parse and sum objects, a group at a time, and prove each to hold what it says
2. the caller's thread collects what comes out of these, sorts and writes it

What takes time in either runs without the interpreter's lock.
"""

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import pyarrow as pa

from fraudstream.lake.compaction.checksum import add
from fraudstream.lake.compaction.compiled import checksum_for, reader_for
from fraudstream.lake.compaction.continuity import require_rows
from fraudstream.lake.compaction.engine import Rows, Vanished, Work, in_manifest, upload
from fraudstream.lake.compaction.manifest import ParquetFile
from fraudstream.lake.compaction.parquet import write_files
from fraudstream.lake.compaction.sorting import RUN_ROWS
from fraudstream.lake.query.reading import in_order, unpacked
from fraudstream.lake.store.objects import Created, ObjectInfo
from fraudstream.lake.table.schemas import coded_schema, rows_of_lines

if TYPE_CHECKING:
    from fraudstream.lake.compaction.regular_lines import Block, Reader

log = logging.getLogger(__name__)

T = TypeVar("T")

#: As many wait for the store as others keep the processor busy.
_READERS = 4
#: Rows that are read at once.
_GROUP_ROWS = 8_000
_LOG_EVERY_ROWS = 1_000_000
_KEEP_MEMORY_MS = 10_000


def one_machine(work: Work) -> tuple[Rows, list[ParquetFile]]:
    """:data:`~fraudstream.lake.compaction.engine.Engine` on this machine."""
    _keep_memory()
    read = _Read()

    def store(number: int, path: Path) -> Created:
        log.info(
            "%s of %s: %d rows read, file of %d bytes written", work.folder, work.day, read.count, path.stat().st_size
        )
        return upload(work, number, path)

    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as directory:
        written = write_files(work.folder, _sources(work, read), Path(directory), work.target_bytes, store)
    return Rows(read.count, read.checksum), [in_manifest(work, created, local) for local, created in written]


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

    def rows_of(group: _Group) -> tuple[pa.Table, int]:
        # 1. download, unpack, parse, sum
        rows = _rows(work, group, [_content(work, info) for info in group.infos], reader)
        return rows, checksum(rows)

    # 2. collect
    for rows, of_rows in in_order(rows_of, _groups(work, reader), _READERS):
        if (read.count + len(rows)) // _LOG_EVERY_ROWS > read.count // _LOG_EVERY_ROWS:
            log.info("%s of %s: %d rows read", work.folder, work.day, read.count + len(rows))
        read.count += len(rows)
        read.checksum = add(read.checksum, of_rows)
        yield rows


class _Group(NamedTuple):
    """Consecutive objects, their number of rows, and where in memory the numbers of these rows go."""

    infos: list[ObjectInfo]
    rows: int
    block: "Block | None"
    first: int


def _groups(work: Work, reader: "Reader | None") -> Iterator[_Group]:
    """So many objects that what a call costs doesn't count; rows that are sorted together get one block."""

    def rows(infos: list[ObjectInfo]) -> int:
        return sum(work.links[info.name].rows for info in infos)

    groups = _batches(work.sources, lambda info: rows([info]), _GROUP_ROWS)
    for run in _batches(groups, rows, RUN_ROWS):
        block = reader.block(sum(map(rows, run))) if reader else None
        first = 0
        for group in run:
            yield _Group(group, rows(group), block, first)
            first += rows(group)


def _batches(items: Iterable[T], rows: Callable[[T], int], least: int) -> Iterator[list[T]]:
    """Consecutive items that have at least so many rows together; the last ones may have fewer."""
    batch: list[T] = []
    count = 0
    for item in items:
        batch.append(item)
        count += rows(item)
        if count >= least:
            yield batch
            batch, count = [], 0
    if batch:
        yield batch


def _content(work: Work, info: ObjectInfo) -> bytes:
    data = work.store.download(info)
    if data is None:
        raise Vanished(info.name)
    return data


def _rows(work: Work, group: _Group, contents: list[bytes], reader: "Reader | None") -> pa.Table:
    """Rows of some objects, each proven to hold what it says."""
    links = [work.links[info.name] for info in group.infos]
    together = reader.rows(contents, group.block, group.first, group.rows) if reader and group.block else None
    if together is None:
        tables = [
            rows_of_lines(work.folder, info.name, unpacked(info.name, data))
            for info, data in zip(group.infos, contents, strict=True)
        ]
        together = pa.concat_tables(tables).cast(coded_schema(work.folder))
    else:
        # Offsets show whether each object has the rows of its own slice.
        starts = accumulate((link.rows for link in links), initial=0)
        tables = [together.slice(start, link.rows) for start, link in zip(starts, links, strict=False)]
    for info, link, rows in zip(group.infos, links, tables, strict=True):
        require_rows(info.name, link, rows)
    return together
