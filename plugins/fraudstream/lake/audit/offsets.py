"""Sets of offsets of one topic-partition as sorted arrays, and what two of them that must agree differ in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Offsets = np.ndarray[tuple[Any, ...], np.dtype[np.int64]]
#: First and last offset of a run of neighbours.
Range = tuple[int, int]

NO_OFFSETS: Offsets = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with a side that should hold each expected offset once."""

    missing: Offsets
    duplicated: Offsets
    unexpected: Offsets


def compare(expected: Offsets, found: Offsets) -> Difference:
    """`expected` is sorted and has each offset once; `found` is in any order, an offset as often as it was met."""
    met, times = np.unique(found, return_counts=True)
    return Difference(
        np.setdiff1d(expected, met, assume_unique=True),
        met[times > 1],
        np.setdiff1d(met, expected, assume_unique=True),
    )


def runs(offsets: Offsets) -> list[Range]:
    """Sorted `offsets` as ranges without a hole."""
    if not len(offsets):
        return []
    return [(int(run[0]), int(run[-1])) for run in np.split(offsets, np.flatnonzero(np.diff(offsets) > 1) + 1)]


def in_words(found: Sequence[Range], most: int = 20) -> str:
    """Ranges for a message: ``3, 7-9 and 4 more ranges``."""
    shown = ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found[:most])
    more = len(found) - most
    return f"{shown} and {more} more ranges" if more > 0 else shown


def ranges(offsets: Offsets, among: Offsets) -> list[Range]:
    """Sorted `offsets` as ranges: two belong together when `among` (sorted, all of them in it) has none between."""
    if not len(offsets):
        return []
    places = np.searchsorted(among, offsets)
    breaks = np.flatnonzero(np.diff(places) > 1) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(offsets, breaks)]
