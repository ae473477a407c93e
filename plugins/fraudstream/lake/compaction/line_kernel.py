"""The compiled part of :mod:`~fraudstream.lake.compaction.regular_lines`: bytes to numbers and places of texts."""

from typing import Any

import numba
import numpy as np

from fraudstream.words import Integers, Octets, Small, Words, digits, first_bit, put_word, word_at

#: What a field's values are; CODED is a text of which there are few different ones, SMALL a number of 32 bits.
TEXT, CODED, WHOLE, SMALL, MONEY, TIME = range(6)
#: How many different ones of a field are kept apart.
MOST_CODES = 64

_MOST_DIGITS = 18
_NO_TIME = -(1 << 62)
_IRREGULAR = -1
_LEAST_SMALL, _MOST_SMALL = -(1 << 31), (1 << 31) - 1
_QUOTE, _MINUS, _POINT, _ZERO = (ord(c) for c in '"-.0')
_NULL = np.uint64(int.from_bytes(b"null", "little"))
_END_OF_LINE = np.uint64(int.from_bytes(b"}\n", "little"))
_ONE_BYTE, _TWO_BYTES, _FOUR_BYTES = np.uint64(0xFF), np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)
_NINE = np.uint64(9)
_ONES = np.uint64(0x0101010101010101)
_TOPS = np.uint64(0x8080808080808080)
_QUOTES = _ONES * np.uint64(_QUOTE)
_BACKSLASHES = _ONES * np.uint64(ord("\\"))
_SPACES = _ONES * np.uint64(ord(" "))


@numba.njit(nogil=True, cache=True)
def read(  # noqa: PLR0911, PLR0912, PLR0915  # calls cost more than the bytes that they look at
    octets: Octets,
    length: int,
    before: Words,
    mask: Words,
    sizes: Integers,
    kinds: Octets,
    slots: Integers,
    numbers: Integers,
    small: Small,
    first: int,
    starts: Integers,
    ends: Small,
    codes: Small,
    known: Integers,
    counts: Integers,
    nulls: Octets,
    missing: Integers,
) -> int:
    """Reads as many lines as `nulls` has room for; returns how many there were, -1 if one is irregular.

    :param before: of each field, what stands before its value, in words, of which only the bits of `mask` count
    :param sizes: how many bytes that is
    :param numbers: amounts, times and whole numbers of 64 bits, from the column `first` on; `small`: those of 32
    :param known: place and size of the first `counts` different texts of each coded field
    :param nulls: whether a row has no value, of each field that has `missing` ones
    """
    fields, rows = len(kinds), nulls.shape[1]
    last_words = np.zeros((fields, 3), np.uint64)
    last_times = np.zeros(fields, np.int64)
    place = row = 0
    while place < length:
        if row == rows:
            return _IRREGULAR
        for field in range(fields):
            wrong = np.uint64(0)
            for number in range(before.shape[1]):
                wrong |= (word_at(octets, place + 8 * number) ^ before[field, number]) & mask[field, number]
            if wrong:
                return _IRREGULAR
            place += sizes[field]
            kind, slot = kinds[field], slots[field]
            if kind == TEXT:
                end = _end_of_text(octets, place)
                if end < 0:
                    return _IRREGULAR
                starts[slot, row] = place
                ends[slot, row + 1] = ends[slot, row] + (end - place)
                place = end + 1
            elif kind == CODED:
                code = codes[slot, row - 1] if row else 0
                end = place + known[slot, code, 1]
                # Often it is the one of the row before.
                if code == counts[slot] or not _same(octets, known[slot, code, 0], place, known[slot, code, 1] + 1):
                    end = _end_of_text(octets, place)
                    if end < 0:
                        return _IRREGULAR
                    code, size = 0, end - place
                    while code < counts[slot] and not (
                        known[slot, code, 1] == size and _same(octets, known[slot, code, 0], place, size)
                    ):
                        code += 1
                    if code == MOST_CODES:
                        return _IRREGULAR
                    if code == counts[slot]:
                        known[slot, code, 0], known[slot, code, 1] = place, size
                        counts[slot] += 1
                codes[slot, row] = code
                place = end + 1
            elif kind == TIME:
                one, two, three = word_at(octets, place), word_at(octets, place + 8), word_at(octets, place + 16)
                if (one ^ last_words[field, 0]) | (two ^ last_words[field, 1]) | (three ^ last_words[field, 2]):
                    last_times[field] = _time(octets, place)
                    if last_times[field] == _NO_TIME:
                        return _IRREGULAR
                    last_words[field, 0], last_words[field, 1], last_words[field, 2] = one, two, three
                if octets[place + 24] != _QUOTE:
                    return _IRREGULAR
                numbers[slot, first + row] = last_times[field]
                place += 25
            else:
                value, after = _number(octets, place, kind == MONEY)
                if after < 0:
                    if word_at(octets, place) & _FOUR_BYTES != _NULL:
                        return _IRREGULAR
                    if not missing[field]:
                        nulls[field] = 0
                    nulls[field, row] = 1
                    missing[field] += 1
                    value, after = 0, place + 4
                place = after
                if kind != SMALL:
                    numbers[slot, first + row] = value
                elif _LEAST_SMALL <= value <= _MOST_SMALL:
                    small[slot, first + row] = value
                else:
                    return _IRREGULAR
        if word_at(octets, place) & _TWO_BYTES != _END_OF_LINE:
            return _IRREGULAR
        place += 2
        row += 1
    return row


@numba.njit(nogil=True, cache=True)
def copy_texts(octets: Octets, starts: Integers, ends: Small, into: Octets) -> bool:
    """Lays texts one after the other, eight bytes at a time; whether all of them are ASCII.

    :param octets: seven bytes beyond the last text are looked at
    :param ends: where each text ends in `into`, after a 0
    :param into: it is written up to eight bytes past the last end
    """
    tops = np.uint64(0)
    for row in range(len(starts)):
        start, to, size = starts[row], np.int64(ends[row]), np.int64(ends[row + 1]) - np.int64(ends[row])
        done = 0
        while done + 8 <= size:
            word = word_at(octets, start + done)
            tops |= word
            put_word(into, to + done, word)
            done += 8
        if done < size:
            word = word_at(octets, start + done)
            tops |= word & ~(~np.uint64(0) << np.uint64(8 * (size - done)))
            put_word(into, to + done, word)
    return (tops & _TOPS) == 0


@numba.njit(nogil=True, cache=True)
def _same(octets: Octets, one: int, other: int, size: int) -> bool:
    """Whether the same bytes are at two places."""
    done = 0
    while done + 8 <= size:
        if word_at(octets, one + done) != word_at(octets, other + done):
            return False
        done += 8
    beyond = np.uint64(8 * (8 - (size - done)))
    return done == size or (word_at(octets, one + done) ^ word_at(octets, other + done)) << beyond == 0


@numba.njit(nogil=True, cache=True)
def _end_of_text(octets: Octets, place: int) -> int:
    """Where the quote that closes a text is; -1: a backslash or a control character comes before it."""
    while True:
        word = word_at(octets, place)
        quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
        # The lowest bit that is set in each marks the first such byte; above it anything may be set.
        stops = ((quotes - _ONES) & ~quotes) | ((backslashes - _ONES) & ~backslashes) | ((word - _SPACES) & ~word)
        stops &= _TOPS
        if stops:
            end = place + (first_bit(stops) >> 3)
            return end if octets[end] == _QUOTE else -1
        place += 8


@numba.njit(nogil=True, cache=True)
def _number(octets: Octets, place: int, money: bool) -> tuple[int, int]:
    """A whole number, or an amount in hundredths, and the place after it; that is -1 if it isn't one."""
    word = word_at(octets, place)
    negative = word & _ONE_BYTE == np.uint64(_MINUS)
    if negative:
        place += 1
        word = word_at(octets, place)
    leading_zero = word & _ONE_BYTE == np.uint64(_ZERO)
    value, after = digits(octets, place)
    count = after - place
    place = after
    if count == 0 or (leading_zero and count > 1):
        return value, -1
    if money:
        word = word_at(octets, place)
        tens = ((word >> np.uint64(8)) & _ONE_BYTE) - np.uint64(_ZERO)
        ones = ((word >> np.uint64(16)) & _ONE_BYTE) - np.uint64(_ZERO)
        if word & _ONE_BYTE != np.uint64(_POINT) or tens > _NINE or ones > _NINE:
            return value, -1
        value = value * 100 + np.int64(tens) * 10 + np.int64(ones)
        place += 3
        count += 2
    if count > _MOST_DIGITS:
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
