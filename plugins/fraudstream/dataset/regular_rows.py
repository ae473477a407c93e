"""The fast way to read a PaySim file's rows: one compiled pass over their bytes checks them and makes the columns.

It takes the lines of a file with PaySim's own header as PaySim writes them: no quotes, flags without a fraction.
Numba keeps the machine code beside this file (or where NUMBA_CACHE_DIR says). It runs without the interpreter's lock.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from fraudstream.dataset import row_kernel
from fraudstream.dataset.columns import ROW_DIGITS
from fraudstream.dataset.forms import FLAGS, MONEY, TYPES, Form
from fraudstream.words import Octets, Words

_IN_NAMES = np.zeros(256, np.uint8)
_IN_NAMES[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")] = 1
_KNOWN: Words = np.array([int.from_bytes(name.encode(), "little") for name in TYPES], np.uint64)


class RegularRows:
    """Reads rows of one file that isn't re-stamped."""

    def __init__(self, form: Form, id_prefix: str) -> None:
        kinds = [_kind(name) for name in form.columns]
        self._kinds = np.array(kinds, np.uint8)
        self._id_prefix = f"{id_prefix}-".encode()
        #: Place of each column among those that lie together with it.
        self._slots: dict[str, int] = {}
        counts: dict[str, int] = {}
        for name, kind in zip(form.columns, kinds, strict=True):
            group = _TOGETHER[kind]
            self._slots[name] = counts.get(group, 0)
            counts[group] = self._slots[name] + 1
        self._counts = counts
        self._places = np.array([self._slots[name] for name in form.columns], np.int64)

    def columns(self, lines: bytes, count: int, first_row: int) -> dict[str, pa.Array] | None:
        """Arrow columns of `count` lines, without `timestamp`; None: some line is of another shape, or no valid row."""
        if first_row + count > 10**ROW_DIGITS or not count:
            return None
        octets: Octets = np.frombuffer(lines + bytes(row_kernel.PADDING), np.uint8)
        small: Any = np.empty((self._counts["small"], count), np.int32)
        amounts: Any = np.empty((self._counts["amounts"], count), np.int64)
        # No text is longer than all lines are. What isn't written to takes no memory.
        texts: Octets = np.empty((self._counts["texts"], len(octets) + row_kernel.PADDING), np.uint8)
        ends: Any = np.zeros((self._counts["texts"], count + 1), np.int32)
        read = row_kernel.read(
            octets,
            self._kinds,
            self._places,
            _IN_NAMES,
            _KNOWN,
            small,
            amounts,
            texts,
            ends,
        )
        if read != len(lines):
            return None
        columns = {"idTransaction": self._ids(first_row, count)}
        for name, slot in self._slots.items():
            if name in MONEY:
                columns[name] = pa.array(amounts[slot])
            elif name in FLAGS or name == "step":
                columns[name] = pa.array(small[slot])
            else:
                columns[name] = _texts(count, ends[slot], texts[slot])
        return columns

    def _ids(self, first_row: int, count: int) -> pa.Array:
        width = len(self._id_prefix) + ROW_DIGITS
        ids: Octets = np.empty((count, width), np.uint8)
        ids[:, : len(self._id_prefix)] = np.frombuffer(self._id_prefix, np.uint8)
        row_kernel.number_rows(first_row, ids.reshape(-1), width, ROW_DIGITS)
        return _texts(count, np.arange(0, (count + 1) * width, width, dtype=np.int32), ids)


#: Which columns lie together.
_TOGETHER = {
    row_kernel.WHOLE: "small",
    row_kernel.FLAG: "small",
    row_kernel.AMOUNT: "amounts",
    row_kernel.NAME: "texts",
    row_kernel.ONE_OF: "texts",
}


def _kind(name: str) -> int:
    if name in MONEY:
        return row_kernel.AMOUNT
    if name in FLAGS:
        return row_kernel.FLAG
    return {"step": row_kernel.WHOLE, "type": row_kernel.ONE_OF}.get(name, row_kernel.NAME)


def _texts(count: int, ends: Any, texts: Octets) -> pa.Array:
    return pa.StringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(texts))
