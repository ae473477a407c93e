"""Sets of offsets of one topic-partition as sorted arrays, and the differences between two of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Offsets = np.ndarray[tuple[Any, ...], np.dtype[np.int64]]
#: The first and the last offset of a range; both are in it.
Range = tuple[int, int]

NO_OFFSETS: Offsets = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences of a target from the expected offsets, each of which it should have once."""

    missing: Offsets
    duplicated: Offsets
    unexpected: Offsets


def compare(expected: Offsets, found: Offsets) -> Difference:
    """The differences of `found` from `expected`.

    :param expected: sorted, without duplicates
    :param found: in any order, with each offset as often as it was found
    """
    met, times = np.unique(found, return_counts=True)
    return Difference(
        np.setdiff1d(expected, met, assume_unique=True),
        met[times > 1],
        np.setdiff1d(met, expected, assume_unique=True),
    )


def runs(offsets: Offsets) -> list[Range]:
    """Sorted `offsets` as ranges without gaps."""
    if not len(offsets):
        return []
    return [(int(run[0]), int(run[-1])) for run in np.split(offsets, np.flatnonzero(np.diff(offsets) > 1) + 1)]


def in_words(found: Sequence[Range], most: int = 20) -> str:
    """Ranges as text for a message: ``3, 7-9 and 4 more ranges``."""
    shown = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found[:most])
    more = len(found) - most
    return f"{shown} and {more} more ranges" if more > 0 else shown


def ranges(offsets: Offsets, among: Offsets) -> list[Range]:
    """Sorted `offsets` as ranges. Two offsets are in the same range if `among` has no other offset between them.

    :param among: sorted offsets, which include `offsets`
    """
    if not len(offsets):
        return []
    places = np.searchsorted(among, offsets)
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(offsets, breaks)]
