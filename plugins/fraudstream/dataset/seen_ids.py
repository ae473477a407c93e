"""Finds repeated ids in bounded memory."""

import numpy as np
import pyarrow as pa

from fraudstream.errors import DatasetError

#: The maximum number of ids, which takes 512 MiB. PaySim's 6,362,620 take 128 MiB, and 32 more while the table grows.
MOST_IDS = 1 << 25
_FIRST_SLOTS = 1 << 16


class SeenIds:
    """A set of ids, stored as 64-bit hashes in an open-addressing table.

    The table has two to four times as many slots as ids: 16 to 32 bytes for each id.

    Two ids with the same hash count as the same id. The hash is Python's, with a new key in each process. The
    probability that any two of PaySim's ids have the same hash is about one in a million.
    """

    def __init__(self) -> None:
        self._table = np.zeros(_FIRST_SLOTS, np.uint64)
        self._count = 0

    def add(self, ids: pa.StringArray) -> np.ndarray:
        """Adds ids. Returns a mask (bool) of those that occurred before, in this call or an earlier one.

        :raises DatasetError: there are more than MOST_IDS
        """
        hashes = np.fromiter(map(hash, ids.to_pylist()), np.int64, len(ids)).view(np.uint64)
        hashes[hashes == 0] = 1  # 0 marks a free slot
        unique, first = np.unique(hashes, return_index=True)
        while 2 * (self._count + len(unique)) > len(self._table):
            self._grow()
        new = self._insert(unique)
        self._count += int(new.sum())
        repeated = np.ones(len(ids), bool)
        repeated[first[new]] = False
        return repeated

    def _grow(self) -> None:
        if len(self._table) >= 2 * MOST_IDS:
            raise DatasetError(
                f"more than {MOST_IDS:,} rows bring their ids, too many to find repeated ones in bounded memory: split "
                "the file"
            )
        kept = self._table[self._table != 0]
        self._table = np.zeros(2 * len(self._table), np.uint64)
        for first in range(0, len(kept), _FIRST_SLOTS):  # in parts: arrays for all hashes would exceed the table
            self._insert(kept[first : first + _FIRST_SLOTS])

    def _insert(self, hashes: np.ndarray) -> np.ndarray:
        """Inserts distinct hashes, each into the first free slot from its own on. Returns a mask (bool) of new ones."""
        mask = np.uint64(len(self._table) - 1)
        new = np.zeros(len(hashes), bool)
        left = np.arange(len(hashes))
        slots = hashes & mask
        while len(left):
            wanted = hashes[left]
            there = self._table[slots]
            free = there == 0
            self._table[slots[free]] = wanted[free]  # if several want the same slot, the last one gets it
            placed = free & (self._table[slots] == wanted)
            new[left[placed]] = True
            on = ~placed & (there != wanted)
            left, slots = left[on], (slots[on] + np.uint64(1)) & mask
        return new
