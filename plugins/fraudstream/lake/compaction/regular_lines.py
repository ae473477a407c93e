"""The fast way to read JSON lines that the pipeline itself wrote: no JSON parser, no float, no object a line.

Such lines have the same fields in the same order, no space between them, and no escape in any text. One pass over their
bytes is then all it takes. It is compiled by Numba, which keeps the machine code beside this file (or where
NUMBA_CACHE_DIR says), and it runs without the interpreter's lock, so that threads read side by side. Every byte of a
line is either compared with what must stand there or becomes part of a value; for lines that are different, the caller
has a JSON parser.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib

from fraudstream.lake.compaction import line_kernel
from fraudstream.words import Integers, Octets, Small

#: Zero bytes after the lines: no part of any, and whatever is looked at beyond their end.
_PADDING = 128
_MEMORY_BYTES = 4 << 20
_WORD = 8


class Block:
    """Memory for the numbers of rows that belong together, however many threads read them: none are moved later."""

    def __init__(self, fields: "_Fields", rows: int) -> None:
        self.rows = rows
        self.numbers: Integers = _new((fields.counts.get(line_kernel.WHOLE, 0), rows), np.int64)
        self.small: Small = _new((fields.counts.get(line_kernel.SMALL, 0), rows), np.int32)


class Reader:
    """Reads lines with the fields of `schema`, none of them nested; any number of threads may use it."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._fields = _Fields(schema)
        # Memory for lines is used again: the kernel gives new memory slowly.
        self._memory: deque[bytearray] = deque()

    def block(self, rows: int) -> Block:
        """Memory for the numbers of so many rows."""
        return Block(self._fields, rows)

    def rows(self, objects: Sequence[bytes], block: Block, first: int, count: int) -> pa.Table | None:
        """The `count` rows of the gzipped lines of some objects, one after the other; None: parse them as JSON.

        What comes back is what a JSON parser would make of the lines, since:

        1. each field begins with its own name where the one before it ends,
        2. each text is closed by the first quote in it, and has no backslash and no control character,
        3. each number is digits with the decimals that its type has, or null; each time has its milliseconds and Z,
        4. each line ends where the next one begins, the last one where the lines end.

        :param block: gets the numbers, from its row `first` on
        """
        memory = self._memory.pop() if self._memory else bytearray(_MEMORY_BYTES)
        try:
            memory, length = _unpacked(objects, memory)
            lines = np.frombuffer(memory, np.uint8)
            found = _Columns(self._fields, block, first, count)
            if not count or found.read(lines, length) != count:
                return None
            columns = [found.column(place, field.type, lines) for place, field in enumerate(self._schema)]
            return pa.table(columns, self._schema)
        except (pa.ArrowInvalid, UnicodeDecodeError, EOFError, OSError):  # the slower way says what is wrong, and where
            return None
        finally:
            self._memory.append(memory)


def _unpacked(objects: Sequence[bytes], memory: bytearray) -> tuple[bytearray, int]:
    """Lines one after the other and the padding, in this memory or in more; and the length of the lines."""
    end = 0
    for packed in objects:
        # What igzip.decompress is made of. That allocates, and new pages take twice as long as unpacking into old ones.
        reader = isal_zlib._GzipReader(packed)  # type: ignore[arg-type]  # which may be bytes
        while True:
            if len(memory) - end <= _PADDING:
                memory = memory + bytearray(len(memory))
            with memoryview(memory) as view:
                got = reader.readinto(view[end : len(memory) - _PADDING])
            if not got:
                break
            end += got
    memory[end : end + _PADDING] = bytes(_PADDING)
    return memory, end


class _Fields:
    """What the lines consist of, in arrays."""

    def __init__(self, schema: pa.Schema) -> None:
        names = [("," if place else "{") + f'"{field.name}":' for place, field in enumerate(schema)]
        kinds = [_kind(field.type) for field in schema]
        quoted = (line_kernel.TEXT, line_kernel.CODED, line_kernel.TIME)
        befores = [(name + ('"' if kind in quoted else "")).encode() for name, kind in zip(names, kinds, strict=True)]
        width = max(-(-len(before) // _WORD) for before in befores) * _WORD
        self.kinds = np.array(kinds, np.uint8)
        #: Which of the columns of its kind a field is; whole numbers, amounts and times share theirs.
        self.slots = np.zeros(len(kinds), np.int64)
        self.counts: dict[int, int] = {}
        for place, kind in enumerate(kinds):
            group = line_kernel.WHOLE if kind in (line_kernel.TIME, line_kernel.MONEY) else kind
            self.slots[place] = self.counts.get(group, 0)
            self.counts[group] = self.counts.get(group, 0) + 1
        before = np.array([np.frombuffer(text.ljust(width, b"\0"), np.uint64) for text in befores])
        mask = np.array(
            [np.frombuffer(b"\xff" * len(text) + b"\0" * (width - len(text)), np.uint64) for text in befores]
        )
        sizes = np.array([len(text) for text in befores], np.int64)
        self.layout = (before, mask, sizes, self.kinds, self.slots)


class _Columns:
    """Where the values of so many rows go."""

    def __init__(self, fields: _Fields, block: Block, first: int, rows: int) -> None:
        self._fields = fields
        self._block = block
        self._first = first
        self._rows = rows
        texts = fields.counts.get(line_kernel.TEXT, 0)
        self._starts: Integers = _new((texts, rows), np.int64)
        self._ends: Small = _new((texts, rows + 1), np.int32)
        self._ends[:, 0] = 0
        coded = fields.counts.get(line_kernel.CODED, 0)
        self._codes: Small = _new((coded, rows), np.int32)
        #: Place and size of each different text, and how many there are.
        self._known: Integers = np.zeros((coded, line_kernel.MOST_CODES, 2), np.int64)
        self._counts: Integers = np.zeros(coded, np.int64)
        #: For each field how many rows have no value, and if any which ones.
        self._nulls: Octets = _new((len(fields.kinds), rows), np.uint8)
        self._missing: Integers = np.zeros(len(fields.kinds), np.int64)

    def read(self, lines: Octets, length: int) -> int:
        """How many rows were read; they are `rows`, or the lines are irregular."""
        return int(
            line_kernel.read(
                lines,
                length,
                *self._fields.layout,
                self._block.numbers,
                self._block.small,
                self._first,
                self._starts,
                self._ends,
                self._codes,
                self._known,
                self._counts,
                self._nulls,
                self._missing,
            )
        )

    def column(self, place: int, kind: pa.DataType, lines: Octets) -> pa.Array:
        """Values of the field at that place."""
        slot = self._fields.slots[place]
        if pa.types.is_string(kind):
            return self._texts(slot, lines)
        if pa.types.is_dictionary(kind):
            known = self._known[slot, : self._counts[slot]].tolist()
            texts = [lines[start : start + size].tobytes().decode() for start, size in known]
            return pa.DictionaryArray.from_arrays(pa.array(self._codes[slot]), pa.array(texts, pa.string()))
        of_kind = self._block.small if self._fields.kinds[place] == line_kernel.SMALL else self._block.numbers
        column = pa.Array.from_buffers(kind, self._rows, [None, pa.py_buffer(of_kind[slot])], offset=self._first)
        return pc.if_else(self._nulls[place] == 0, column, None) if self._missing[place] else column

    def _texts(self, slot: int, lines: Octets) -> pa.Array:
        ends = self._ends[slot]
        data: Octets = _new((int(ends[-1]) + _WORD,), np.uint8)
        ascii_only = line_kernel.copy_texts(lines, self._starts[slot], ends, data)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
        if ascii_only:
            return pa.Array.from_buffers(pa.string(), self._rows, buffers)
        return pa.Array.from_buffers(pa.binary(), self._rows, buffers).cast(pa.string())  # which looks if it is UTF-8


def _new(shape: tuple[int, ...], kind: type[np.generic]) -> Any:
    """An array in Arrow's memory, where freed memory is handed out again."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return np.frombuffer(pa.allocate_buffer(size), kind).reshape(shape)


def _kind(of: pa.DataType) -> int:
    if pa.types.is_string(of):
        return line_kernel.TEXT
    if pa.types.is_dictionary(of):
        return line_kernel.CODED
    if pa.types.is_timestamp(of):
        return line_kernel.TIME
    if pa.types.is_decimal(of):
        return line_kernel.MONEY
    return line_kernel.SMALL if pa.types.is_int32(of) else line_kernel.WHOLE
