"""A day's JSON objects as files on local disk, for DuckDB to read."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fraudstream.lake.compaction.work import Vanished
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore, unpacked

_DOWNLOADS = 4
#: Files with lines of many objects.
_FILES = 16
#: Bytes of local disk that a day needs for each gzipped one: its lines, which have seven times as many, the same once
#: more while they are sorted, the Parquet files, and as much again for others.
_ROOM = 32


def download(store: ObjectStore, infos: Sequence[ObjectInfo], directory: Path) -> None:
    """Copies objects to files of a new directory: their lines, many objects in a file, if there is room for that.

    DuckDB needs more than twice as long as ISA-L to unpack gzip, and some time for each file.

    :raises Vanished: one of them is gone
    :raises LakeError: one of them is no whole gzip file
    """
    directory.mkdir()
    room = shutil.disk_usage(directory).free > _ROOM * sum(info.size for info in infos)

    def content(info: ObjectInfo) -> bytes:
        data = store.download(info)
        if data is None:
            raise Vanished(info.name)
        return data

    def copy_packed(info: ObjectInfo) -> None:
        (directory / info.name.replace("/", "~")).write_bytes(content(info))

    def copy_lines(number: int) -> None:
        with (directory / f"{number}.json").open("wb") as file:
            for info in infos[number::_FILES]:
                lines = unpacked(info.name, content(info))
                file.write(lines if lines.endswith(b"\n") else lines + b"\n")

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for _ in pool.map(copy_lines, range(min(_FILES, len(infos)))) if room else pool.map(copy_packed, infos):
            pass
