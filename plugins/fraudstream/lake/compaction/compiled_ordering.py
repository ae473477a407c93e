""":mod:`fraudstream.lake.compaction.ordering` once more, compiled: a third of its time, without the interpreter's lock.

Rows that follow each other in order lie anywhere in memory, so what takes time is waiting for it. Here the rows to come
are asked for while one is copied.
"""

from typing import Any

import numba
import numpy as np
import pyarrow as pa

from fraudstream.lake.compaction.ordering import Keys, RowNumbers
from fraudstream.words import Integers, Octets, Small, Words, fetch_early, put_word, reversed_bytes, word_at

_WORD = 8
#: How many rows before it is copied a row is asked for.
_AHEAD = 16


def keys(texts: pa.Array, which: RowNumbers) -> Keys:
    """Numbers in the order of some texts, or the same: the first eight bytes after what all texts begin with."""
    ends = _ends(texts)
    octets = _view(texts.buffers()[2] or b"", np.uint8)
    found: Keys = _new(len(which), np.uint64)
    _find_keys(octets, ends, which, _common_prefix(octets, ends), found)
    return found


def take(rows: pa.Table, places: RowNumbers) -> pa.Table:
    """Some rows of a table whose columns are one chunk each."""
    return pa.table([_take(column.chunk(0), places) for column in rows.columns], rows.schema)


def _take(column: pa.Array, places: Integers) -> pa.Array:
    kind = column.type
    if column.null_count:
        return column.take(pa.array(places))
    if pa.types.is_string(kind):
        return _texts(column, places)
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(_take(column.indices, places), column.dictionary, safe=False)
    if kind.bit_width == 8 * _WORD:
        return _numbers(column, places, np.int64)
    return _numbers(column, places, np.int32) if kind.bit_width == 4 * _WORD else column.take(pa.array(places))


def _numbers(column: pa.Array, places: RowNumbers, stored: type[np.generic]) -> pa.Array:
    values = _view(column.buffers()[1], stored)[column.offset : column.offset + len(column)]
    into = _new(len(places), stored)
    _take_numbers(values, values.view(np.uint8), places, into)
    return pa.Array.from_buffers(column.type, len(places), [None, pa.py_buffer(into)])


def _texts(column: pa.Array, places: RowNumbers) -> pa.Array:
    ends, starts, new_ends = _ends(column), _new(len(places), np.int32), _new(len(places) + 1, np.int32)
    size = int(_take_ends(ends, ends.view(np.uint8), places, starts, new_ends))
    into = _new(size + _WORD, np.uint8)
    _take_texts(_view(column.buffers()[2] or b"", np.uint8), starts, new_ends, into)
    return pa.Array.from_buffers(
        pa.string(), len(places), [None, pa.py_buffer(new_ends), pa.py_buffer(into).slice(0, size)]
    )


def _ends(texts: pa.Array) -> Small:
    ends: Small = _view(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return ends


def _view(buffer: pa.Buffer | bytes, kind: type[np.generic]) -> Any:
    """Never to be written to, so that there is one compiled function, not two."""
    view = np.frombuffer(buffer, kind)
    view.flags.writeable = False
    return view


def _new(size: int, kind: type[np.generic]) -> Any:
    """An array in Arrow's memory, where freed memory is handed out again."""
    return np.frombuffer(pa.allocate_buffer(size * np.dtype(kind).itemsize), kind)


@numba.njit(nogil=True, cache=True)
def _take_numbers(values: Any, octets: Octets, places: Integers, into: Any) -> None:
    for row in range(len(places)):
        if row + _AHEAD < len(places):
            fetch_early(octets, places[row + _AHEAD] * values.itemsize)
        into[row] = values[places[row]]


@numba.njit(nogil=True, cache=True)
def _take_ends(ends: Small, octets: Octets, places: Integers, starts: Small, new_ends: Small) -> int:
    end: Any = np.int64(0)
    new_ends[0] = 0
    for row in range(len(places)):
        if row + _AHEAD < len(places):
            fetch_early(octets, places[row + _AHEAD] * ends.itemsize)
        place = places[row]
        starts[row] = ends[place]
        end += np.int64(ends[place + 1]) - np.int64(ends[place])
        new_ends[row + 1] = end
    return end


@numba.njit(nogil=True, cache=True)
def _take_texts(octets: Octets, starts: Small, ends: Small, into: Octets) -> None:
    """Copies eight bytes at a time, which writes up to seven past the end of a text."""
    whole = len(octets) - _WORD
    for row in range(len(starts)):
        if row + _AHEAD < len(starts):
            fetch_early(octets, np.int64(starts[row + _AHEAD]))
        start, to = np.int64(starts[row]), np.int64(ends[row])
        size = np.int64(ends[row + 1]) - to
        done = np.int64(0)
        while done < size:
            if start + done <= whole:
                put_word(into, to + done, word_at(octets, start + done))
            else:  # where a whole word would reach beyond the last text
                for octet in range(done, size):
                    into[to + octet] = octets[start + octet]
            done += _WORD


@numba.njit(nogil=True, cache=True)
def _common_prefix(octets: Octets, ends: Small) -> int:
    """How many bytes all texts begin with."""
    if len(ends) < 2:
        return 0
    first = np.int64(ends[0])
    size: Any = np.int64(ends[1]) - first
    for row in range(1, len(ends) - 1):
        start = np.int64(ends[row])
        size = min(size, np.int64(ends[row + 1]) - start)
        for place in range(size):
            if octets[start + place] != octets[first + place]:
                size = place
                break
    return size


@numba.njit(nogil=True, cache=True)
def _find_keys(octets: Octets, ends: Small, which: Integers, skip: int, into: Words) -> None:
    for row in range(len(which)):
        start, end = np.int64(ends[which[row]]) + skip, np.int64(ends[which[row] + 1])
        size: Any = min(max(end - start, np.int64(0)), np.int64(_WORD))
        if start + _WORD <= len(octets):
            word = reversed_bytes(word_at(octets, start))
        else:  # where a whole word would reach beyond the last text
            word = np.uint64(0)
            for place in range(size):
                word |= np.uint64(octets[start + place]) << np.uint64(8 * (_WORD - 1 - place))
        into[row] = word & ~(~np.uint64(0) >> np.uint64(8 * size)) if size < _WORD else word
