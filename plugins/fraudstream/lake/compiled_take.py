"""Rows of a table by their numbers, texts by compiled code: a third of Arrow's time, without the interpreter's lock."""

from typing import Any

import numba
import numpy as np
import pyarrow as pa

from fraudstream.lake.words import Integers, Octets, Small, put_word, word_at

_WORD = 8


def take(rows: pa.Table, places: Integers) -> pa.Table:
    """Some rows of a table whose columns are one chunk each."""
    indices = pa.array(places)
    columns = [
        _texts(column.chunk(0), places)
        if pa.types.is_string(column.type) and column.num_chunks == 1 and not column.null_count
        else column.take(indices)
        for column in rows.columns
    ]
    return pa.table(columns, rows.schema)


def _texts(column: pa.Array, places: Integers) -> pa.Array:
    ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    octets = np.frombuffer(column.buffers()[2] or b"", np.uint8)
    # Arrow's memory, where freed memory is handed out again.
    of_ends = pa.allocate_buffer(4 * (len(places) + 1))
    new_ends: Small = np.frombuffer(of_ends, np.int32)
    size = int(_take_ends(ends, places, new_ends))
    data = pa.allocate_buffer(size + _WORD)
    _take_texts(octets, ends, places, np.frombuffer(data, np.uint8))
    return pa.Array.from_buffers(pa.string(), len(places), [None, of_ends, data.slice(0, size)])


@numba.njit(nogil=True, cache=True)
def _take_ends(ends: Small, places: Integers, into: Small) -> int:
    end: Any = np.int64(0)
    into[0] = 0
    for row in range(len(places)):
        place = places[row]
        end += np.int64(ends[place + 1]) - np.int64(ends[place])
        into[row + 1] = end
    return end


@numba.njit(nogil=True, cache=True)
def _take_texts(octets: Octets, ends: Small, places: Integers, into: Octets) -> None:
    """Copies eight bytes at a time, which writes up to seven past the end of a text."""
    to = np.int64(0)
    whole = len(octets) - _WORD
    for row in range(len(places)):
        start, end = np.int64(ends[places[row]]), np.int64(ends[places[row] + 1])
        place = start
        while place < end:
            if place <= whole:
                put_word(into, to + (place - start), word_at(octets, place))
            else:  # where a whole word would reach beyond the last text
                for octet in range(place, end):
                    into[to + (octet - start)] = octets[octet]
            place += _WORD
        to += end - start
