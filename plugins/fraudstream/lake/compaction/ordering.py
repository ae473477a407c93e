"""What putting rows in order is made of, for jobs of few rows; :mod:`.compiled_ordering` does the same for many.

One behavioural test holds both to the same results.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_WORD = 8

RowNumbers = np.ndarray[tuple[Any, ...], np.dtype[np.int64]]
Keys = np.ndarray[Any, np.dtype[np.uint64]]


class Ordering(NamedTuple):
    """The two steps, in one of the two ways."""

    keys: Callable[[pa.Array, RowNumbers], Keys]
    take: Callable[[pa.Table, RowNumbers], pa.Table]


def keys(texts: pa.Array, which: RowNumbers) -> Keys:
    """Numbers in the order of some texts, or the same: the first eight bytes after what all texts begin with."""
    least, most = pc.min_max(pc.cast(texts, pa.binary())).as_py().values()
    skip = len(os.path.commonprefix([least or b"", most or b""]))  # noqa: RUF071  # of bytes, no paths
    ends = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = np.concatenate([np.frombuffer(texts.buffers()[2] or b"", np.uint8), np.zeros(_WORD, np.uint8)])
    words: Keys = np.ndarray((len(data) - _WORD + 1,), np.uint64, data, strides=(1,))
    end = ends[which + 1]
    start = np.minimum(ends[which] + skip, end)  # a missing text has no bytes
    unused = (8 * (_WORD - np.minimum(end - start, _WORD))).astype(np.uint64)
    found = words[start].byteswap() >> unused << unused
    # A shift by all 64 bits leaves the number as it is.
    return np.where(unused == 8 * _WORD, np.uint64(0), found)


def take(rows: pa.Table, places: RowNumbers) -> pa.Table:
    """Some rows of a table whose columns are one chunk each."""
    return rows.take(pa.array(places))
