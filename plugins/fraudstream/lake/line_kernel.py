"""The compiled part of :mod:`fraudstream.lake.regular_lines`: bytes of JSON lines to numbers and places of texts."""

from typing import Any

import numba
import numpy as np

Octets = np.ndarray[Any, np.dtype[np.uint8]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]

#: What a field's values are; CODED is a text of which there are few different ones.
TEXT, CODED, WHOLE, MONEY, TIME = range(5)
#: How many different ones of a field are kept apart.
MOST_CODES = 64

_MOST_DIGITS = 18
_NO_TIME = -(1 << 62)
_IRREGULAR = -1
_QUOTE, _NEWLINE, _MINUS, _POINT, _ZERO, _LETTER_N, _BRACE = (ord(c) for c in '"\n-.0n}')
_NULL = np.uint64(int.from_bytes(b"null", "little"))
_FOUR_BYTES = np.uint64(0xFFFFFFFF)
_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_QUOTES = _ONES * np.uint64(_QUOTE)
_BACKSLASHES = _ONES * np.uint64(ord("\\"))
_SPACES = _ONES * np.uint64(ord(" "))
_ZEROS = _ONES * np.uint64(_ZERO)
_BELOW_TEN = _ONES * np.uint64(0x76)
#: Times a power of 256, its top byte is that power.
_PLACES = np.uint64(0x0001020304050607)
_SEVEN, _TOP_BYTE = np.uint64(7), np.uint64(56)


@numba.njit(nogil=True, cache=True)
def count_newlines(octets: Octets, length: int) -> int:
    """How many of the first `length` bytes end a line."""
    count = 0
    for place in range(length):
        count += octets[place] == _NEWLINE
    return count


@numba.njit(nogil=True, cache=True)
def read(  # noqa: PLR0911, PLR0912, PLR0915  # calls cost more than the bytes that they look at
    octets: Octets,
    words: Words,
    length: int,
    before: Words,
    mask: Words,
    sizes: Integers,
    kinds: Octets,
    slots: Integers,
    numbers: Integers,
    wide: Integers,
    starts: Integers,
    ends: np.ndarray[Any, np.dtype[np.int32]],
    codes: np.ndarray[Any, np.dtype[np.int32]],
    known: Integers,
    counts: Integers,
    nulls: Octets,
) -> int:
    """Reads as many lines as the columns have room for; returns how many there were, -1 if one is irregular.

    :param words: the eight bytes from each byte on
    :param before: of each field, what stands before its value, in words, of which only the bits of `mask` count
    :param sizes: how many bytes that is
    :param known: place and size of the first `counts` different texts of each coded field
    """
    fields, rows = len(kinds), nulls.shape[1]
    last_words = np.zeros((fields, 3), np.uint64)
    last_times = np.zeros(fields, np.int64)
    place = row = 0
    while place < length:
        if row == rows:
            return _IRREGULAR
        for field in range(fields):
            for number in range((sizes[field] + 7) // 8):
                if (words[place + 8 * number] ^ before[field, number]) & mask[field, number]:
                    return _IRREGULAR
            place += sizes[field]
            kind, slot = kinds[field], slots[field]
            if kind in (TEXT, CODED):
                end = _end_of_text(octets, words, place)
                if end < 0:
                    return _IRREGULAR
                if kind == TEXT:
                    starts[slot, row] = place
                    ends[slot, row + 1] = ends[slot, row] + (end - place)
                else:
                    guess = codes[slot, row - 1] if row else 0
                    code = _code(words, place, end - place, known[slot], counts[slot], guess)
                    if code == MOST_CODES:
                        return _IRREGULAR
                    if code == counts[slot]:
                        known[slot, code, 0], known[slot, code, 1] = place, end - place
                        counts[slot] += 1
                    codes[slot, row] = code
                place = end + 1
            elif kind == TIME:
                first, second, third = words[place], words[place + 8], words[place + 16]
                if first != last_words[field, 0] or second != last_words[field, 1] or third != last_words[field, 2]:
                    last_times[field] = _time(octets, place)
                    if last_times[field] == _NO_TIME:
                        return _IRREGULAR
                    last_words[field, 0], last_words[field, 1], last_words[field, 2] = first, second, third
                if octets[place + 24] != _QUOTE:
                    return _IRREGULAR
                numbers[slot, row] = last_times[field]
                place += 25
            else:
                value = np.int64(0)
                if octets[place] == _LETTER_N:
                    if words[place] & _FOUR_BYTES != _NULL:
                        return _IRREGULAR
                    nulls[field, row] = 1
                    place += 4
                else:
                    value, place = _number(octets, words, place, kind == MONEY)
                    if place < 0:
                        return _IRREGULAR
                if kind == MONEY:
                    wide[slot, row, 0] = value
                    wide[slot, row, 1] = value >> 63
                else:
                    numbers[slot, row] = value
        if octets[place] != _BRACE or octets[place + 1] != _NEWLINE:
            return _IRREGULAR
        place += 2
        row += 1
    return row


@numba.njit(nogil=True, cache=True)
def copy_texts(words: Words, starts: Integers, ends: np.ndarray[Any, np.dtype[np.int32]], into: Words) -> bool:
    """Lays texts one after the other, eight bytes at a time; whether all of them are ASCII.

    :param ends: where each text ends in `into`, after a 0
    :param into: the eight bytes from each byte of the result on; it is written up to eight bytes past the last end
    """
    tops = np.uint64(0)
    for row in range(len(starts)):
        start, to, size = starts[row], ends[row], ends[row + 1] - ends[row]
        done = 0
        while done + 8 <= size:
            word = words[start + done]
            tops |= word
            into[to + done] = word
            done += 8
        if done < size:
            word = words[start + done]
            tops |= word & ~(~np.uint64(0) << np.uint64(8 * (size - done)))
            into[to + done] = word
    return (tops & _TOPS) == 0


@numba.njit(nogil=True, cache=True)
def _same(words: Words, one: int, other: int, size: int) -> bool:
    """Whether the same bytes are at two places."""
    done = 0
    while done + 8 <= size:
        if words[one + done] != words[other + done]:
            return False
        done += 8
    beyond = np.uint64(8 * (8 - (size - done)))
    return done == size or (words[one + done] ^ words[other + done]) << beyond == 0


@numba.njit(nogil=True, cache=True)
def _code(words: Words, place: int, size: int, known: Integers, count: int, guess: int) -> int:
    """Which of the known texts this one is; `count` if it is none of them."""
    if guess < count and known[guess, 1] == size and _same(words, known[guess, 0], place, size):
        return guess
    for code in range(count):
        if known[code, 1] == size and _same(words, known[code, 0], place, size):
            return code
    return count


@numba.njit(nogil=True, cache=True)
def _end_of_text(octets: Octets, words: Words, place: int) -> int:
    """Where the quote that closes a text is; -1: a backslash or a control character comes before it."""
    while True:
        word = words[place]
        quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
        # The lowest bit that is set in each marks the first such byte; above it anything may be set.
        stops = ((quotes - _ONES) & ~quotes) | ((backslashes - _ONES) & ~backslashes) | ((word - _SPACES) & ~word)
        stops &= _TOPS
        if stops:
            end = place + _lowest_byte(stops)
            return end if octets[end] == _QUOTE else -1
        place += 8


@numba.njit(nogil=True, cache=True)
def _lowest_byte(tops: Any) -> Any:
    """The number of the first byte of a word whose top bit is set; all other bits are 0."""
    lowest = tops & (~tops + np.uint64(1))
    return np.int64(((lowest >> _SEVEN) * _PLACES) >> _TOP_BYTE)


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
def _number(octets: Octets, words: Words, place: int, money: bool) -> tuple[int, int]:
    """A whole number, or an amount in hundredths, and the place after it; that is -1 if it isn't one."""
    negative = octets[place] == _MINUS
    if negative:
        place += 1
    start = place
    # Up to seven digits at once: lengths differ from line to line, and a wrong guess costs more than all of this.
    word = words[place] ^ _ZEROS
    stops = ((word + _BELOW_TEN) | word) & _TOPS
    value: Any = np.int64(0)
    if stops:
        count = _lowest_byte(stops)
        if count:
            value = np.int64(_eight_digits(word << np.uint64(8 * (8 - count))))
        place += count
    else:
        while np.uint8(octets[place] - _ZERO) <= 9:
            value = value * 10 + np.int64(octets[place] - _ZERO)
            place += 1
    digits = place - start
    if digits == 0 or (digits > 1 and octets[start] == _ZERO):
        return value, -1
    if money:
        tens, ones = np.uint8(octets[place + 1] - _ZERO), np.uint8(octets[place + 2] - _ZERO)
        if octets[place] != _POINT or tens > 9 or ones > 9:
            return value, -1
        value = value * 100 + np.int64(tens) * 10 + np.int64(ones)
        place += 3
        digits += 2
    if digits > _MOST_DIGITS:
        return value, -1
    return (-value if negative else value), place


@numba.njit(nogil=True, cache=True)
def _digits(octets: Octets, place: int, count: int) -> int:
    value: Any = 0
    for octet in octets[place : place + count]:
        digit = np.uint8(octet - _ZERO)
        if digit > 9:
            return -1_000_000
        value = value * 10 + np.int64(digit)
    return value


@numba.njit(nogil=True, cache=True)
def _time(octets: Octets, place: int) -> int:
    """Milliseconds since 1970 of 2023-10-07T00:00:00.000Z; _NO_TIME if it is something else."""
    for offset, octet in ((4, ord("-")), (7, ord("-")), (10, ord("T")), (13, ord(":")), (16, ord(":")), (19, _POINT)):
        if octets[place + offset] != octet:
            return _NO_TIME
    if octets[place + 23] != ord("Z"):
        return _NO_TIME
    year, month, day = _digits(octets, place, 4), _digits(octets, place + 5, 2), _digits(octets, place + 8, 2)
    hour, minute = _digits(octets, place + 11, 2), _digits(octets, place + 14, 2)
    second, thousandths = _digits(octets, place + 17, 2), _digits(octets, place + 20, 3)
    if min(year, hour, minute, second, thousandths) < 0 or hour > 23 or minute > 59 or second > 59:
        return _NO_TIME
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    if month < 1 or month > 12 or day < 1:
        return _NO_TIME
    longest = 31 - (month in (4, 6, 9, 11))
    if month == 2:
        longest = 28 + leap
    if day > longest:
        return _NO_TIME
    # Days since 0000-03-01 in the calendar whose years begin in March, so that a leap day ends one.
    from_march = year - (month <= 2)
    century = from_march // 400
    of_century = from_march - 400 * century
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days = 146_097 * century + 365 * of_century + of_century // 4 - of_century // 100 + of_year - 719_468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + thousandths
