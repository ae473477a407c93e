"""Eight bytes at a time, for compiled code: one instruction each, where a view of an array costs several.

Nothing looks whether the bytes are the array's; whoever asks has to know.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

Octets = np.ndarray[Any, np.dtype[np.uint8]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Small = np.ndarray[Any, np.dtype[np.int32]]

_ZERO = ord("0")
_ZEROS, _BELOW_TEN, _TOPS = (np.uint64(0x0101010101010101 * byte) for byte in (_ZERO, 0x76, 0x80))


@intrinsic
def word_at(_typing: Any, octets: Any, place: Any) -> Any:
    """The eight bytes from a place on, the first one in the lowest byte."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        first = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(first, align=1)

    return types.uint64(octets, types.int64), generate


@intrinsic
def put_word(_typing: Any, octets: Any, place: Any, word: Any) -> Any:
    """Writes eight bytes from a place on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        first = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        builder.store(arguments[2], first, align=1)
        return context.get_dummy_value()

    return types.void(octets, types.int64, types.uint64), generate


@intrinsic
def first_bit(_typing: Any, word: Any) -> Any:
    """The number of the lowest bit that is set; one must be."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def fetch_early(_typing: Any, octets: Any, place: Any) -> Any:
    """Asks for the bytes at a place, which are read soon: what comes meanwhile doesn't wait for memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [address], kind)
        builder.call(prefetch, [builder.gep(array.data, [arguments[1]]), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(octets, types.int64), generate


@intrinsic
def reversed_bytes(_typing: Any, word: Any) -> Any:
    """The first byte as the highest one, so that words are in the order of their texts."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@numba.njit(nogil=True, cache=True)
def _eight_digits(digits: Any) -> Any:
    """The number that a word of eight digits 0 to 9 stands for, the first one in the lowest byte."""
    # Each step adds neighbours: pairs of digits, then both fours, weighted by their places.
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    mask = np.uint64(0x000000FF000000FF)
    return (
        (pairs & mask) * np.uint64(0x000F424000000064)
        + ((pairs >> np.uint64(16)) & mask) * np.uint64(0x0000271000000001)
    ) >> np.uint64(32)


@numba.njit(nogil=True, cache=True)
def digits(octets: Octets, place: int) -> tuple[Any, Any]:
    """The number that the digits from a place on stand for, and the place after them; wrong for over 18 digits."""
    # Up to seven digits at once: lengths differ from line to line, and a wrong guess costs more than all of this.
    word = word_at(octets, place) ^ _ZEROS
    stops = ((word + _BELOW_TEN) | word) & _TOPS
    if stops:
        bits = first_bit(stops) & 0x78
        if bits == 0:
            return np.int64(0), place
        return np.int64(_eight_digits(word << np.uint64(64 - bits))), place + (bits >> 3)
    value = np.int64(_eight_digits(word))
    place += 8
    while np.uint8(octets[place] - _ZERO) <= 9:
        value = value * 10 + np.int64(octets[place] - _ZERO)
        place += 1
    return value, place
