"""The compiled part of :mod:`fraudstream.dataset.regular_rows`: bytes of CSV lines to numbers and texts."""

import numba
import numpy as np

from fraudstream.words import Integers, Octets, Small, Words, digits, put_word, word_at

#: What a column's values are.
WHOLE, FLAG, AMOUNT, NAME, ONE_OF = range(5)
#: Zero bytes that must follow the lines: what is looked at beyond the last of them.
PADDING = 32

_COMMA, _RETURN, _NEWLINE, _POINT, _ZERO = (ord(c) for c in ",\r\n.0")
_MOST_OF_WHOLE, _MOST_OF_AMOUNT, _MOST_OF_NAME, _MOST_OF_ONE_OF = 6, 15, 64, 8
_ALL = ~np.uint64(0)


@numba.njit(nogil=True, cache=True)
def read(  # noqa: PLR0911, PLR0912  # calls cost more than the bytes that they look at
    octets: Octets,
    kinds: Octets,
    slots: Integers,
    in_names: Octets,
    known: Words,
    small: Small,
    amounts: Integers,
    texts: Octets,
    ends: Small,
) -> int:
    """Reads as many lines as the columns have room for; returns the bytes that they take, -1 if one is irregular.

    :param octets: the lines, and PADDING zero bytes after them
    :param kinds: of each column in the file's order
    :param slots: which of the columns of its kind it is; NAME and ONE_OF share theirs, and so do WHOLE and FLAG
    :param in_names: for each byte whether a name may have it
    :param known: the texts that a ONE_OF may be, of up to eight bytes, zeros after them
    :param amounts: takes hundredths
    :param texts: takes each text column's texts one after the other; up to seven bytes more are written
    :param ends: takes the ends of each column's texts there, after a 0
    """
    place, columns = 0, len(kinds)
    for row in range(small.shape[1]):
        for column in range(columns):
            kind, slot = kinds[column], slots[column]
            if kind in (NAME, ONE_OF):
                start, to = place, ends[slot, row]
                while in_names[octets[place]]:
                    place += 1
                size = place - start
                if size == 0 or size > (_MOST_OF_NAME if kind == NAME else _MOST_OF_ONE_OF):
                    return -1
                if kind == ONE_OF:
                    word = word_at(octets, start) & (_ALL >> np.uint64(64 - 8 * size))
                    found = False
                    for one in known:
                        found |= one == word
                    if not found:
                        return -1
                for done in range(0, size, 8):  # what is too much is written over by the next
                    put_word(texts[slot], to + done, word_at(octets, start + done))
                ends[slot, row + 1] = to + size
            elif kind == AMOUNT:
                value, after = digits(octets, place)
                if after == place or after - place > _MOST_OF_AMOUNT:
                    return -1
                place = after
                cents = np.int64(0)
                if octets[place] == _POINT:
                    tens, ones = np.uint8(octets[place + 1] - _ZERO), np.uint8(octets[place + 2] - _ZERO)
                    if tens > 9:
                        return -1
                    cents = np.int64(tens) * 10
                    place += 2
                    if ones <= 9:
                        cents += np.int64(ones)
                        place += 1
                amounts[slot, row] = value * 100 + cents
            elif kind == FLAG:
                flag = np.uint8(octets[place] - _ZERO)
                if flag > 1:
                    return -1
                small[slot, row] = flag
                place += 1
            else:
                value, after = digits(octets, place)
                if after == place or after - place > _MOST_OF_WHOLE:
                    return -1
                place = after
                small[slot, row] = value
            if column < columns - 1:
                if octets[place] != _COMMA:
                    return -1
                place += 1
        place += octets[place] == _RETURN
        if octets[place] != _NEWLINE:
            return -1
        place += 1
    return place


@numba.njit(nogil=True, cache=True)
def number_rows(first: int, octets: Octets, width: int, length: int) -> None:
    """Writes the numbers of consecutive rows as the last `length` bytes of each `width` bytes."""
    for row in range(len(octets) // width):
        number = first + row
        for place in range((row + 1) * width - 1, (row + 1) * width - 1 - length, -1):
            octets[place] = _ZERO + number % 10
            number //= 10
