"""The engine that compacts a day in this process, with the memory that about a million rows take."""

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from fraudstream.lake.chain import Link
from fraudstream.lake.checksum import add, checksum
from fraudstream.lake.continuity import require_rows
from fraudstream.lake.engine import Rows, Vanished, Work, upload
from fraudstream.lake.manifest import ParquetFile
from fraudstream.lake.objects import ObjectInfo, ObjectStore
from fraudstream.lake.parquet import write_files
from fraudstream.lake.reading import in_order, lines_of
from fraudstream.lake.schemas import regular_rows_of, rows_of_lines

log = logging.getLogger(__name__)

_READERS = 2
#: Rows that are read at once, and how many such groups each reader may be ahead while others are sorted and written.
_GROUP_ROWS = 8_000
_GROUPS_AHEAD = 12
_LOG_EVERY_ROWS = 1_000_000


def one_machine(work: Work) -> tuple[Rows, list[ParquetFile]]:
    """:data:`~fraudstream.lake.engine.Engine` on this machine."""
    read = _Read()
    files: list[ParquetFile] = []
    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as directory:
        for local in write_files(work.folder, _sources(work, read), Path(directory), work.target_bytes):
            files.append(upload(work, len(files), local))
            local.path.unlink()
            log.info("%s of %s: %d rows read, %d files written", work.folder, work.day, read.count, len(files))
    return Rows(read.count, read.checksum), files


class _Read:
    """What was read so far."""

    def __init__(self) -> None:
        self.count = 0
        self.checksum = 0


def _sources(work: Work, read: _Read) -> Iterator[pa.Table]:
    def rows_of(group: list[ObjectInfo]) -> tuple[pa.Table, int]:
        rows = _read(work.store, work.folder, group, work.links)
        return rows, checksum(rows)

    for rows, of_rows in in_order(rows_of, _groups(work.sources, work.links), _READERS, _GROUPS_AHEAD):
        if (read.count + len(rows)) // _LOG_EVERY_ROWS > read.count // _LOG_EVERY_ROWS:
            log.info("%s of %s: %d rows read", work.folder, work.day, read.count + len(rows))
        read.count += len(rows)
        read.checksum = add(read.checksum, of_rows)
        yield rows


def _groups(infos: list[ObjectInfo], links: dict[str, Link]) -> Iterator[list[ObjectInfo]]:
    """Consecutive objects, so many that what a call costs doesn't count."""
    group: list[ObjectInfo] = []
    for info in infos:
        group.append(info)
        if sum(links[member.name].rows for member in group) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _read(store: ObjectStore, folder: str, group: list[ObjectInfo], links: dict[str, Link]) -> pa.Table:
    """Rows of some objects, each proven to hold what it says."""
    bodies = []
    for info in group:
        body = lines_of(store, info)
        if body is None:
            raise Vanished(info.name)
        bodies.append(body)
    together = regular_rows_of(folder, b"".join(bodies))
    if together is None:
        tables = [rows_of_lines(folder, info.name, body) for info, body in zip(group, bodies, strict=True)]
        together = pa.concat_tables(tables)
    else:
        counts = [int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("\n"))) for body in bodies]
        ends = np.cumsum(counts).tolist()
        tables = [together.slice(end - count, count) for end, count in zip(ends, counts, strict=True)]
    for info, rows in zip(group, tables, strict=True):
        require_rows(info.name, links[info.name], rows)
    return together
