"""A checksum of rows that doesn't depend on their order, over every bit of every column.

Each value gets a 64-bit hash salted with its column's name, a row's hash mixes the sum of its values' hashes, and
the checksum is the sum of the rows' hashes, all modulo 2^64. A sum, not an exclusive or, so that a doubled row shows.
A null counts as no value, so a column that all rows lack changes nothing: adding one keeps old checksums valid.
It detects accidents; it is no protection against someone who forges rows. Being plain arithmetic on the values'
own bits, it is the same in every version of every library, and so can be kept in a manifest.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_MASK = (1 << 64) - 1
_WORD = 8
#: Rows times bytes of the widest value that are laid out side by side at once.
_LARGEST_LAYOUT = 1 << 25

Words = np.ndarray[tuple[Any, ...], np.dtype[np.uint64]]


def checksum(rows: pa.Table | pa.RecordBatch) -> int:
    """Checksum of the rows; that of two sets of rows together is the sum of theirs modulo 2^64."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    total = 0
    for batch in table.to_batches(max_chunksize=65_536):
        if not len(batch):
            continue
        sums = np.zeros(len(batch), np.uint64)
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            hashes = _mix(_hashes(column) ^ salt(name))
            sums += np.where(present(column), hashes, np.uint64(0)) if column.null_count else hashes
        total += int(_mix(sums).sum(dtype=np.uint64))
    return total & _MASK


def add(*checksums: int) -> int:
    """Checksum of several sets of rows together."""
    return sum(checksums) & _MASK


def salt(name: str) -> np.uint64:
    """What keeps the values of one column apart from those of others."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=_WORD).digest(), "little"))


def _mix(words: Words) -> Words:
    """Spreads every bit over the whole word, one to one (the finaliser of SplitMix64)."""
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed


def present(column: pa.Array) -> np.ndarray:
    """Whether each value isn't null."""
    return np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False))


def _hashes(column: pa.Array) -> Words:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return _of_strings(column) if pa.types.is_string(column.type) else words_of_numbers(column)


def words_of_numbers(column: pa.Array) -> Words:
    """Each number or time of a column in 64 bits; those of nulls are any."""
    kind = column.type
    if pa.types.is_decimal64(kind):
        return np.frombuffer(column.buffers()[1], np.uint64)[column.offset : column.offset + len(column)]
    if pa.types.is_decimal128(kind):
        # Two words a value, the upper one only the sign: every amount of DECIMAL(18,2) fits into the lower.
        both = np.frombuffer(column.buffers()[1], np.uint64)
        return both[2 * column.offset : 2 * (column.offset + len(column)) : 2]
    if pa.types.is_timestamp(kind) or pa.types.is_integer(kind):
        numbers = pc.fill_null(column.cast(pa.int64()), 0)
        return np.asarray(numbers.to_numpy(zero_copy_only=False)).view(np.uint64)
    raise TypeError(f"no checksum for values of type {kind}")


def _of_strings(column: pa.Array) -> Words:
    lengths = pc.fill_null(pc.binary_length(column), 0)
    width = -(-max(pc.max(lengths).as_py() or 0, 1) // _WORD) * _WORD
    if width * len(column) > _LARGEST_LAYOUT and len(column) > 1:
        half = len(column) // 2
        return np.concatenate([_of_strings(column.slice(0, half)), _of_strings(column.slice(half))])
    # Padded with zero bytes to one width, the strings are a matrix of words; a word of zeros adds nothing to the
    # hash, so it doesn't depend on the width, and the length keeps trailing zero bytes of the string itself apart.
    padded = pc.ascii_rpad(pc.fill_null(column, ""), width=width, padding="\0")
    start = padded.offset * width
    words = np.frombuffer(padded.buffers()[2], np.uint64, len(column) * width // _WORD, start).reshape(len(column), -1)
    result = np.asarray(lengths.to_numpy(zero_copy_only=False)).astype(np.uint64)
    for position in range(words.shape[1]):
        word = words[:, position]
        salted = _mix(word ^ _mix(np.array([position], np.uint64)))
        result = result + np.where(word == 0, np.uint64(0), salted)
    return result
