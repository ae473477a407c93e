"""The fast way to read JSON lines that the pipeline itself wrote: no JSON parser, no float, no object a line.

Such lines have the same fields in the same order, no space between them, and no escape in any text. Where their commas
are is then all it takes: a part is gathered for all lines at once, eight bytes to a machine word, and whatever is
done, is done with numpy to the same word of all lines. Every byte of a line is either compared with what must stand
there or becomes part of a value; for lines that are different, the caller has a JSON parser.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: Bytes of lines that are looked at at once: enough that calls don't count, few enough for the processor's caches.
_CHUNK_BYTES = 4 << 20
#: Longer parts would need too much memory side by side.
_LONGEST_PART = 512
_COMMA, _NEWLINE, _QUOTE, _BACKSLASH = b',\n"\\'
#: What a part may be, past `before`, in JSON. Arrow's casts allow more.
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_TIME_BYTES = 24  # 2023-10-07T00:00:00.000Z
_WORD = 8

Octets = np.ndarray[tuple[Any, ...], np.dtype[np.uint8]]
Words = np.ndarray[tuple[Any, ...], np.dtype[np.uint64]]
Integers = np.ndarray[tuple[Any, ...], np.dtype[np.int64]]


class _Irregular(Exception):
    """These lines are for the JSON parser."""


def regular_rows(lines: bytes | memoryview, schema: pa.Schema, wanted: pa.Schema) -> pa.Table | None:
    """Columns `wanted` of lines with the fields of `schema`; None: the lines have to be parsed as JSON.

    What comes back is what a JSON parser would make of the lines, since:

    1. there are as many commas as the lines' fields take, and each part between them begins with its field's name,
    2. each text is closed by the only quote in it, and has no backslash and no control character,
    3. each number is digits with the decimals that its type has, each line ends where the next one begins.
    """
    parts = [_Part(schema, place) for place in range(len(schema))]
    try:
        batches = [_rows(chunk, length, parts, wanted) for chunk, length in _chunks(lines)]
    except (_Irregular, pa.ArrowInvalid):
        return None
    return pa.Table.from_batches(batches, wanted)


def _chunks(lines: bytes | memoryview) -> Iterator[tuple[Octets, int]]:
    """Pieces that end with a line, and their length: after it come bytes that may be read and mean nothing."""
    octets = np.frombuffer(lines, np.uint8)
    start = 0
    while start < len(octets):
        end = min(start + _CHUNK_BYTES, len(octets))
        if end < len(octets):
            newlines = np.flatnonzero(octets[max(start, end - 2 * _LONGEST_PART * _WORD) : end] == _NEWLINE)
            if not len(newlines):
                raise _Irregular
            end += int(newlines[-1]) + 1 - min(end - start, 2 * _LONGEST_PART * _WORD)
        if end + _LONGEST_PART <= len(octets):
            yield octets[start : end + _LONGEST_PART], end - start
        else:
            yield np.concatenate([octets[start:end], np.zeros(_LONGEST_PART, np.uint8)]), end - start
        start = end


def _rows(octets: Octets, length: int, parts: list["_Part"], wanted: pa.Schema) -> pa.RecordBatch:
    commas = np.flatnonzero(octets[:length] == _COMMA)
    rows, left = divmod(len(commas), len(parts) - 1)
    if left or not rows:
        raise _Irregular
    commas = np.ascontiguousarray(commas.reshape(rows, -1).T)
    # The last part, a time, has the same length in each line: no need to look for the ends of lines.
    newlines = np.flatnonzero(octets[commas[-1, 0] : commas[-1, 0] + _LONGEST_PART] == _NEWLINE)
    if not len(newlines):
        raise _Irregular
    ends = commas[-1] + newlines[0]
    if ends[-1] != length - 1 or (octets[ends] != _NEWLINE).any():
        raise _Irregular
    starts = np.concatenate([[0], ends[:-1] + 1])
    values = {
        part.name: part.values(octets, begin, end, part.name in wanted.names)
        for part, begin, end in zip(parts, [starts, *commas], [*commas, ends], strict=True)
    }
    return pa.RecordBatch.from_arrays([values[name] for name in wanted.names], schema=wanted)


class _Part:
    """What lies between two commas: the field's name, and its value."""

    def __init__(self, schema: pa.Schema, place: int) -> None:
        field = schema.field(place)
        self.name = field.name
        self._type = field.type
        self._is_text = pa.types.is_string(field.type) or pa.types.is_timestamp(field.type)
        quote = '"' if self._is_text else ""
        self._before = (("{" if place == 0 else ",") + f'"{field.name}":{quote}').encode()
        self._after = (quote + ("}" if place == len(schema) - 1 else "")).encode()

    def values(self, octets: Octets, begin: Integers, end: Integers, wanted: bool) -> pa.Array | None:
        """The values of a part that lies at [begin, end) in each line; numbers that aren't wanted are None."""
        lengths = end - begin - (len(self._before) + len(self._after))
        longest, shortest = int(lengths.max()), int(lengths.min())
        if shortest < (0 if pa.types.is_string(self._type) else 1) or longest > _LONGEST_PART // 2:
            raise _Irregular
        for place, octet in enumerate(self._after):
            if (octets[end - (len(self._after) - place)] != octet).any():
                raise _Irregular
        gathered = _gathered(octets, begin, -(-(len(self._before) + longest) // _WORD) + 1)
        self._require_name(gathered)
        value = _Value(octets, gathered, len(self._before), end - len(self._after), lengths, longest, shortest)
        if self._is_text:
            return _times(value, self._type) if pa.types.is_timestamp(self._type) else _texts(value)
        return _numbers(value, self._type) if wanted else None

    def _require_name(self, gathered: Words) -> None:
        expected = np.frombuffer(self._before.ljust(-(-len(self._before) // _WORD) * _WORD, b"\0"), np.uint64)
        different = np.zeros(len(gathered), np.uint64)
        for place, word in enumerate(expected):
            found = gathered[:, place]
            beyond = (place + 1) * _WORD - len(self._before)
            if beyond > 0:
                found = found & (_ONES >> np.uint64(8 * beyond))
            different |= found ^ word
        if different.any():
            raise _Irregular


class _Value:
    """The bytes of one field's values in all lines."""

    def __init__(
        self, octets: Octets, gathered: Words, skip: int, end: Integers, lengths: Integers, longest: int, shortest: int
    ) -> None:
        self.octets = octets
        self.gathered = gathered
        self.skip = skip
        self.end = end
        self.lengths = lengths
        self.longest = longest
        self.shortest = shortest

    def word(self, number: int) -> Words:
        """Bytes 8 * number to 8 * number + 7 of each value, the first one lowest; what is beyond is any."""
        place, shift = divmod(self.skip, _WORD)
        low: Words = self.gathered[:, place + number]
        if not shift:
            return low
        result: Words = (low >> np.uint64(8 * shift)) | (
            self.gathered[:, place + number + 1] << np.uint64(64 - 8 * shift)
        )
        return result

    def text(self) -> pa.Array:
        """The values as they stand there, as binary."""
        table = self.gathered.view(np.uint8)[:, self.skip : self.skip + self.longest]
        if self.longest == self.shortest:
            data = np.ascontiguousarray(table).reshape(-1)
        else:
            data = table[np.arange(self.longest) < self.lengths[:, None]]
        ends = np.zeros(len(self.lengths) + 1, np.int32)
        np.cumsum(self.lengths, out=ends[1:])
        return pa.Array.from_buffers(pa.binary(), len(self.lengths), [None, pa.py_buffer(ends), pa.py_buffer(data)])


_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZEROS = np.uint64(0x3030303030303030)  # eight characters "0"
_BELOW_TEN = np.uint64(0x7676767676767676)
_TOPS = np.uint64(0x8080808080808080)


def _gathered(octets: Octets, starts: Integers, words: int) -> Words:
    """So many words from each start on, side by side."""
    size = words * _WORD
    if int(starts[-1]) + size > len(octets):
        raise _Irregular
    anywhere: np.ndarray[Any, Any] = np.ndarray((len(octets) - size + 1,), f"V{size}", octets, strides=(1,))
    return anywhere[starts].view(np.uint64).reshape(len(starts), words)


def _texts(value: _Value) -> pa.Array:
    values = value.text()
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)
    if ((data < ord(" ")) | (data == _QUOTE) | (data == _BACKSLASH)).any():
        raise _Irregular
    if len(data) and data.max() >= 128:
        return values.cast(pa.string())  # which looks whether it is UTF-8
    return pa.Array.from_buffers(pa.string(), len(values), values.buffers())


def _times(value: _Value, kind: pa.DataType) -> pa.Array:
    """Neighbours often share their time: each is read once."""
    if value.longest != _TIME_BYTES or value.shortest != _TIME_BYTES:
        return _texts(value).cast(kind)
    words = np.column_stack([value.word(number) for number in range(_TIME_BYTES // _WORD)])
    first = np.concatenate([[True], (words[1:] != words[:-1]).any(axis=1)])
    places = np.flatnonzero(first)
    different = pa.Array.from_buffers(
        pa.binary(_TIME_BYTES), len(places), [None, pa.py_buffer(np.ascontiguousarray(words[places]))]
    )
    times = np.frombuffer(different.cast(pa.binary()).cast(pa.string()).cast(kind).buffers()[1], np.int64)
    return _integers(np.repeat(times[: len(places)], np.diff(np.append(places, len(words)))), kind)


def _numbers(value: _Value, kind: pa.DataType) -> pa.Array:
    scale = kind.scale if pa.types.is_decimal(kind) else 0
    tail = scale + 1 if scale else 0
    digits = value.lengths - tail
    plain = scale in {0, 2} and value.shortest > tail and value.longest - tail <= 2 * _WORD
    numbers = _whole(value, digits, value.longest - tail) if plain else None
    if numbers is None:
        return _slow_numbers(value, kind)
    if scale:
        point, tens, ones = value.octets[value.end - 3], value.octets[value.end - 2], value.octets[value.end - 1]
        tens, ones = tens - np.uint8(ord("0")), ones - np.uint8(ord("0"))  # below "0" comes out above 9, too
        if (point != ord(".")).any() or (tens > 9).any() or (ones > 9).any():
            raise _Irregular
        both = np.zeros((len(numbers), 2), np.uint64)
        np.add(numbers * np.uint64(100), (tens * 10 + ones), out=both[:, 0])
        return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(both)])
    return _integers(numbers, pa.int64()).cast(kind)


def _integers(numbers: Words | Integers, kind: pa.DataType) -> pa.Array:
    """The numbers, which stay where they are, as a column of some type of 64 bits."""
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def _whole(value: _Value, digits: Integers, most: int) -> Words | None:
    """The numbers that begin the values, of so many digits; None: there are other characters."""
    first = value.word(0) ^ _ZEROS
    if (((first & np.uint64(0xFF)) == 0) & (digits > 1)).any():
        raise _Irregular  # 007 is no JSON
    if most <= _WORD:
        return _eight_digits(first << (8 * (_WORD - digits)).astype(np.uint64))
    # Both words as one of 128 bits, shifted until the last digit is on top; shifts by 64 and more give 0.
    second = value.word(1) ^ _ZEROS
    shift = (8 * (2 * _WORD - digits)).astype(np.uint64)
    bits = np.uint64(64)
    low = _eight_digits((second << shift) | (first >> (bits - shift)) | (first << (shift - bits)))
    high = _eight_digits(first << shift)
    return None if low is None or high is None else high * np.uint64(100_000_000) + low


def _eight_digits(digits: Words) -> Words | None:
    """The numbers that words of eight digits 0 to 9 stand for, the first one lowest."""
    if (((digits + _BELOW_TEN) | digits) & _TOPS).any():
        return None
    # Each step adds neighbours: pairs of digits, then both fours, weighted by their places.
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    result: Words = (
        (pairs & mask) * np.uint64(0x000F424000000064)
        + ((pairs >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    ) >> np.uint64(32)
    return result


def _slow_numbers(value: _Value, kind: pa.DataType) -> pa.Array:
    """Negative, longer and missing numbers."""
    texts = _texts(value)
    texts = pc.if_else(pc.equal(texts, "null"), None, texts)
    if not pc.all(pc.match_substring_regex(texts, _NUMBER), min_count=0).as_py():
        raise _Irregular
    return texts.cast(kind)
