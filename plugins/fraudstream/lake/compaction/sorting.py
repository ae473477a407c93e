"""Sorting more rows than fit into memory.

1. collect runs of bounded size, cut each at the same key into two lanes, sort each part, and put it on disk as Arrow
   IPC; a single run stays in memory. All rows of the first lane come before those of the second, and each can be
   worked on by itself.
2. choose keys that cut a lane into pieces of bounded size: from samples of every run, which is sorted, so that a
   piece is larger than it should be by no more than a sample's distance a run
3. for each piece, take the next rows of every run, and sort those together

Rows with one value in the first sort column are never in two pieces: if there are more of them than a piece should
have, they take more memory.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.lake.compaction.compiled import ordering_for
from fraudstream.lake.compaction.ordering import Ordering, RowNumbers
from fraudstream.lake.query.reading import in_order

#: Rows of a run, and of a piece.
RUN_ROWS = 1_000_000
PIECE_ROWS = 128_000
_BATCH_ROWS = 16_000
_SAMPLE_DISTANCE = 1_000
_COPIERS = 2


def sorted_lanes(tables: Iterable[pa.Table], order: Sequence[str], directory: Path) -> list[Iterator[pa.Table]]:
    """All rows of the tables in the order of the columns `order`: the pieces of one lane, then those of the next.

    Few rows make one lane. Lanes may be read at the same time, each by one thread.

    :param order: the first of them is a text
    :param directory: empty, for the runs; what is put there is left there
    """
    lanes: tuple[list[_Run], list[_Run]] = ([], [])
    waiting: list[pa.Table] = []
    last: pa.Table | None = None
    middle: str | None = None

    def cut(run: pa.Table) -> list[RowNumbers]:
        nonlocal middle
        texts = _decoded(run[order[0]])
        if middle is None:
            samples = texts.take(np.arange(0, len(run), _SAMPLE_DISTANCE)).drop_null()
            middle = sorted(samples.to_pylist())[len(samples) // 2] if len(samples) else ""
        first = pc.less(texts, middle).fill_null(True).to_numpy()
        return [np.flatnonzero(first), np.flatnonzero(~first)]

    def put_on_disk(run: pa.Table) -> None:
        for number, (lane, rows) in enumerate(zip(lanes, cut(run), strict=True)):
            lane.append(_Run(_pieces(run, rows, order), order[0], directory / f"run-{len(lane):05d}-{number}.arrow"))

    # 1. runs
    for table in tables:
        if last is not None:  # not the only one: off to disk before the next one grows
            put_on_disk(last)
            last = None
        waiting.append(table)
        if sum(map(len, waiting)) >= RUN_ROWS:
            last, waiting = _one_chunk(waiting), []
    if waiting:
        last, waiting = _one_chunk(waiting), []
    if last is None or not len(last):
        return []
    if not lanes[0]:
        parts = cut(last) if len(last) >= 2 * PIECE_ROWS else [np.arange(len(last))]
        return [_pieces(last, part, order) for part in parts if len(part)]
    put_on_disk(last)
    del last
    return [_merged(lane, order) for lane in lanes]


def _merged(runs: list["_Run"], order: Sequence[str]) -> Iterator[pa.Table]:
    ordering = ordering_for(sum(run.height for run in runs))
    # 2. keys
    for key in [*_cuts(runs), None]:
        # 3. pieces
        parts = [part for one in runs for part in one.take_before(key)]
        if parts:  # no row is less than the first key where that is the smallest one
            together = _one_chunk(parts)
            yield ordering.take(together, _in_order(together, np.arange(len(together)), order, ordering))


class _Run:
    """A sorted run on disk, to be read once from its beginning to its end."""

    def __init__(self, pieces: Iterator[pa.Table], key: str, path: Path) -> None:
        self.height = 0
        self.samples: list[str | None] = []
        self._key = key
        self._waiting: pa.Table | None = None
        writer = None
        with pa.OSFile(str(path), "wb") as file:
            for piece in pieces:
                writer = writer or pa.ipc.new_stream(file, piece.schema)
                writer.write_table(piece, max_chunksize=_BATCH_ROWS)
                self.samples += piece[key].take(np.arange(0, len(piece), _SAMPLE_DISTANCE)).to_pylist()
                self.height += len(piece)
            if writer is not None:
                writer.close()
        # Read, not mapped: pages of a mapped file would count as this process's memory.
        self._batches = iter(pa.ipc.open_stream(pa.OSFile(str(path), "rb")) if writer is not None else ())

    def take_before(self, cut: str | None) -> Iterator[pa.Table]:
        """The next rows, up to the first one whose key isn't less than `cut`; None: all that are left."""
        while True:
            if self._waiting is None:
                batch = next(self._batches, None)
                if batch is None:
                    return
                self._waiting = pa.Table.from_batches([batch])
            rows, self._waiting = self._waiting, None
            end = (
                len(rows) if cut is None else int(pl.Series(_decoded(rows[self._key])).search_sorted(cut, side="left"))
            )
            if end:
                yield rows[:end]
            if end < len(rows):
                self._waiting = rows[end:]
                return


def _one_chunk(tables: list[pa.Table]) -> pa.Table:
    """All rows of the tables, each column in one piece: what sorting and taking rows ask for."""
    together = pa.concat_tables(tables)
    return pa.table(list(in_order(_joined, together.columns, _COPIERS)), together.schema)


def _joined(column: pa.ChunkedArray) -> pa.Array:
    """The values in one piece; numbers that were read side by side into one memory stay where they are."""
    if column.null_count == 0 and _is_number(column.type) and column.num_chunks > 1:
        chunks = column.chunks
        one = chunks[0].buffers()[1]
        ends = [chunk.offset + len(chunk) for chunk in chunks]
        if all(chunk.buffers()[1].address == one.address for chunk in chunks) and ends[:-1] == [
            chunk.offset for chunk in chunks[1:]
        ]:
            return pa.Array.from_buffers(column.type, len(column), [None, one], offset=chunks[0].offset)
    return column.combine_chunks()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_timestamp(kind))


def _pieces(rows: pa.Table, which: RowNumbers, order: Sequence[str]) -> Iterator[pa.Table]:
    """Some rows of a table of one chunk in order, a piece at a time; sorted by whoever takes the first one."""
    ordering = ordering_for(len(rows))
    places = _in_order(rows, which, order, ordering)
    for start in range(0, len(places), PIECE_ROWS):
        yield ordering.take(rows, places[start : start + PIECE_ROWS])


def _in_order(rows: pa.Table, which: RowNumbers, order: Sequence[str], ordering: Ordering) -> RowNumbers:
    """The numbers `which` of rows of a table of one chunk, in the order of those rows.

    Nearly all rows are told apart by eight bytes of the first column, and numbers sort several times as fast as texts.
    """
    keys = ordering.keys(_decoded(rows[order[0]]).chunk(0), which)
    by_key = np.argsort(keys)
    places, keys = which[by_key], keys[by_key]
    same = keys[1:] == keys[:-1]
    tied = np.concatenate([same, [False]]) | np.concatenate([[False], same])
    if tied.any():
        among = places[tied]
        columns = rows.select(list(order)).take(pa.array(among))
        frame = pl.DataFrame({name: pl.from_arrow(_decoded(columns[name])) for name in order})
        places[tied] = among[frame.select(pl.arg_sort_by(list(order))).to_series().to_numpy()]
    return places


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts that sort as texts, not by their places in a dictionary."""
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _cuts(runs: list[_Run]) -> list[str | None]:
    samples = pl.Series([sample for run in runs for sample in run.samples], dtype=pl.String).sort()
    pieces = max(1, sum(run.height for run in runs) // PIECE_ROWS)
    return sorted({samples[len(samples) * number // pieces] for number in range(1, pieces)} - {None})
