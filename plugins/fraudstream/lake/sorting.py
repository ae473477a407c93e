"""Sorting more rows than fit into memory.

1. sort runs of bounded size, cut each at the same key into two lanes, and put it on disk as Arrow IPC; a single run
   stays in memory. All rows of the first lane come before those of the second, and each can be worked on by itself.
2. choose keys that cut a lane into pieces of bounded size: from samples of every run, which is sorted, so that a
   piece is larger than it should be by no more than a sample's distance a run
3. for each piece, take the next rows of every run, and sort those together

Rows with one value in the first sort column are never in two pieces: if there are more of them than a piece should
have, they take more memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

#: Rows of a run, and of a piece.
RUN_ROWS = 1_000_000
PIECE_ROWS = 128_000
_BATCH_ROWS = 16_000
_SAMPLE_DISTANCE = 1_000


def sorted_lanes(tables: Iterable[pa.Table], order: Sequence[str], directory: Path) -> list[Iterator[pl.DataFrame]]:
    """All rows of the tables in the order of the columns `order`: the pieces of one lane, then those of the next.

    Few rows make one lane. Lanes may be read at the same time, each by one thread.

    :param directory: empty, for the runs; what is put there is left there
    """
    lanes: tuple[list[_Run], list[_Run]] = ([], [])
    waiting: list[pa.Table] = []
    last: pl.DataFrame | None = None
    middle: str | None = None

    def cut(run: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        nonlocal middle
        if middle is None:
            middle = run[order[0]][run.height // 2]
        place = int(run[order[0]].search_sorted(middle, side="left"))
        return run[:place], run[place:]

    def put_on_disk(run: pl.DataFrame) -> None:
        for number, (lane, rows) in enumerate(zip(lanes, cut(run), strict=True)):
            lane.append(_Run(rows, order[0], directory / f"run-{len(lane):05d}-{number}.arrow"))

    # 1. runs
    for table in tables:
        if last is not None:  # not the only one: off to disk before the next one grows
            put_on_disk(last)
            last = None
        waiting.append(table)
        if sum(map(len, waiting)) >= RUN_ROWS:
            last, waiting = _sorted(waiting, order), []
    if waiting:
        last, waiting = _sorted(waiting, order), []
    if last is None:
        return []
    if not lanes[0]:
        parts = cut(last) if last.height >= 2 * PIECE_ROWS else (last,)
        return [part.iter_slices(PIECE_ROWS) for part in parts if part.height]
    put_on_disk(last)
    return [_merged(lane, order) for lane in lanes]


def _merged(runs: list["_Run"], order: Sequence[str]) -> Iterator[pl.DataFrame]:
    # 2. keys
    for key in [*_cuts(runs), None]:
        # 3. pieces
        parts = [part for one in runs for part in one.take_before(key)]
        if parts:  # no row is less than the first key where that is the smallest one
            yield pl.concat(parts).sort(order)


class _Run:
    """A sorted run on disk, to be read once from its beginning to its end."""

    def __init__(self, rows: pl.DataFrame, key: str, path: Path) -> None:
        self.height = rows.height
        self.samples = rows[key].gather_every(_SAMPLE_DISTANCE)
        self._key = key
        self._waiting: pl.DataFrame | None = None
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, rows.to_arrow().schema) as writer:
            for batch in rows.iter_slices(_BATCH_ROWS):
                writer.write_table(batch.to_arrow())
        # Read, not mapped: pages of a mapped file would count as this process's memory.
        self._batches = iter(pa.ipc.open_stream(pa.OSFile(str(path), "rb")))

    def take_before(self, cut: str | None) -> Iterator[pl.DataFrame]:
        """The next rows, up to the first one whose key isn't less than `cut`; None: all that are left."""
        while True:
            if self._waiting is None:
                batch = next(self._batches, None)
                if batch is None:
                    return
                self._waiting = pl.DataFrame(pl.from_arrow(batch))
            rows, self._waiting = self._waiting, None
            end = rows.height if cut is None else int(rows[self._key].search_sorted(cut, side="left"))
            if end:
                yield rows[:end]
            if end < rows.height:
                self._waiting = rows[end:]
                return


def _sorted(tables: list[pa.Table], order: Sequence[str]) -> pl.DataFrame:
    frame = pl.DataFrame(pl.from_arrow(pa.concat_tables(tables)))
    return frame.sort(order)


def _cuts(runs: list[_Run]) -> list[str]:
    samples = pl.concat([run.samples for run in runs]).sort()
    pieces = max(1, sum(run.height for run in runs) // PIECE_ROWS)
    return sorted({samples[len(samples) * number // pieces] for number in range(1, pieces)})
