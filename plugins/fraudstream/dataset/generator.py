"""Generates files like PaySim's: with its header, notation, and shares of types and frauds, and consistent balances.

The same rows, seed and frauds give the same bytes on every machine. The code uses only integer arithmetic and the raw
output of the bit generator, which is the same in every version of NumPy. (In a .gz only the content is the same:
versions of zlib may compress it differently.) Memory holds one block, for any number of rows.
"""

import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from fraudstream.dataset.columns.forms import PAYSIM
from fraudstream.errors import SettingsError

PUBLISHED_ROWS = 6_362_620
PUBLISHED_FRAUDS = {"TRANSFER": 4_097, "CASH_OUT": 4_116}
PUBLISHED_FLAGGED = 16
PUBLISHED_TYPES = {
    "CASH_IN": 1_399_284,
    "CASH_OUT": 2_237_500,
    "DEBIT": 41_432,
    "PAYMENT": 2_151_495,
    "TRANSFER": 532_909,
}
STEPS = 743
BLOCK_ROWS = 100_000
_DRAWS = 4  # raw 64-bit numbers for each row
_ACCOUNTS = np.uint64(2**31 - 1)


class Kind(NamedTuple):
    """A kind of rows; `amounts` is the distribution of their amounts, as a table for :func:`_quantiles`."""

    type: str
    fraud: bool
    flagged: bool
    amounts: tuple[int, ...]


# Octiles of each distribution, in whole units of money: skewed like a lognormal, near PaySim's own quartiles.
_FRAUD_AMOUNTS = (100, 50_000, 127_000, 270_000, 441_000, 820_000, 1_518_000, 3_500_000, 10_000_000)
# The simulated bank flags only transfers over 200,000.
_FLAGGED_AMOUNTS = (200_001, 354_000, 900_000, 1_300_000, 2_100_000, 3_800_000, 5_000_000, 8_000_000, 10_000_000)
_CASH_IN = (1, 30_000, 68_000, 105_000, 143_000, 183_000, 229_000, 310_000, 1_000_000)
_CASH_OUT = (1, 30_000, 69_000, 107_000, 147_000, 192_000, 246_000, 340_000, 1_000_000)
_DEBIT = (1, 600, 1_500, 2_200, 3_000, 3_900, 5_000, 9_000, 40_000)
_PAYMENT = (1, 2_200, 4_400, 6_800, 9_500, 12_900, 17_600, 26_000, 90_000)
_TRANSFER = (1, 80_000, 187_000, 320_000, 486_000, 700_000, 1_015_000, 1_900_000, 10_000_000)
_ORIGIN_BALANCES = (0, 0, 0, 1_500, 14_000, 50_000, 107_000, 500_000, 10_000_000)
_RECIPIENT_BALANCES = (0, 0, 0, 20_000, 133_000, 400_000, 943_000, 2_500_000, 16_000_000)

KINDS = (
    Kind("CASH_IN", False, False, _CASH_IN),
    Kind("CASH_OUT", False, False, _CASH_OUT),
    Kind("DEBIT", False, False, _DEBIT),
    Kind("PAYMENT", False, False, _PAYMENT),
    Kind("TRANSFER", False, False, _TRANSFER),
    Kind("TRANSFER", True, True, _FLAGGED_AMOUNTS),
    Kind("TRANSFER", True, False, _FRAUD_AMOUNTS),
    Kind("CASH_OUT", True, False, _FRAUD_AMOUNTS),
)


@dataclass(frozen=True)
class Plan:
    """The number of rows of each of :data:`KINDS` in a file."""

    counts: tuple[int, ...]

    @property
    def rows(self) -> int:
        return sum(self.counts)

    @property
    def frauds(self) -> int:
        return sum(count for kind, count in zip(KINDS, self.counts, strict=True) if kind.fraud)

    @property
    def flagged(self) -> int:
        return sum(count for kind, count in zip(KINDS, self.counts, strict=True) if kind.flagged)

    @property
    def types(self) -> dict[str, int]:
        """The number of rows of each type, frauds included."""
        found = dict.fromkeys(PUBLISHED_TYPES, 0)
        for kind, count in zip(KINDS, self.counts, strict=True):
            found[kind.type] += count
        return found


def plan(rows: int, frauds: int | None = None) -> Plan:
    """Divides `rows` by PaySim's shares. 6,362,620 rows give the published counts.

    :param frauds: number of frauds; None: PaySim's share, at least 2 (1 if there is only one row)
    :raises SettingsError: `rows` is below 1, or `frauds` is negative or more than `rows`
    """
    if rows < 1:
        raise SettingsError(f"rows: found {rows}, expected at least 1")
    published = sum(PUBLISHED_FRAUDS.values())
    if frauds is None:
        frauds = min(rows, max(2, _nearest(rows * published, PUBLISHED_ROWS)))
    if not 0 <= frauds <= rows:
        raise SettingsError(f"frauds: found {frauds}, expected 0 to the number of rows, {rows}")
    genuine = [count - PUBLISHED_FRAUDS.get(name, 0) for name, count in PUBLISHED_TYPES.items()]
    transfers, cash_outs = _shares(frauds, list(PUBLISHED_FRAUDS.values()))
    flagged = min(transfers, _nearest(frauds * PUBLISHED_FLAGGED, published))
    return Plan((*_shares(rows - frauds, genuine), flagged, transfers - flagged, cash_outs))


def blocks(planned: Plan, seed: int) -> Iterator[bytes]:
    """Yields the file's bytes: the header, then blocks of :data:`BLOCK_ROWS` lines."""
    yield (",".join(PAYSIM) + "\n").encode()
    generator = np.random.PCG64(seed)
    order = _Permutation(planned.rows, generator.random_raw(4))
    bounds = np.cumsum(planned.counts)
    for first in range(0, planned.rows, BLOCK_ROWS):
        numbers = np.arange(first, min(first + BLOCK_ROWS, planned.rows), dtype=np.uint64)
        draws = generator.random_raw(len(numbers) * _DRAWS).reshape(-1, _DRAWS)
        kinds = np.searchsorted(bounds, order(numbers).astype(np.int64), side="right")
        steps = 1 + numbers.astype(np.int64) * STEPS // planned.rows
        yield _lines(steps, kinds, draws)


def write_file(path: Path, planned: Plan, seed: int, progress: Callable[[int], None]) -> None:
    """Writes the file, with gzip if its name ends in .gz. The file gets its name only when it is complete.

    :param progress: called with the number of rows that were written so far
    :raises SettingsError: the file can't be written there
    """
    partial = path.with_name(path.name + ".part")
    try:
        with ExitStack() as stack:
            file: BinaryIO = stack.enter_context(partial.open("wb"))
            if path.suffix == ".gz":
                packed = gzip.GzipFile("", "wb", compresslevel=5, fileobj=file, mtime=0)
                file = cast(BinaryIO, stack.enter_context(packed))
            for number, block in enumerate(blocks(planned, seed)):
                file.write(block)
                progress(min(number * BLOCK_ROWS, planned.rows))
        partial.replace(path)
    except OSError as error:
        raise SettingsError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _lines(steps: np.ndarray, kinds: np.ndarray, draws: np.ndarray) -> bytes:
    fraud = np.array([kind.fraud for kind in KINDS])[kinds]
    flagged = np.array([kind.flagged for kind in KINDS])[kinds]
    cash_in = np.array([kind.type == "CASH_IN" for kind in KINDS])[kinds]
    merchant = np.array([kind.type == "PAYMENT" for kind in KINDS])[kinds]

    amount = _quantiles([kind.amounts for kind in KINDS], kinds, draws[:, 0])
    same = np.zeros(len(kinds), np.int64)
    # The lower of an account's two balances: after it paid, or before it was paid.
    origin = np.where(fraud, 0, _quantiles([_ORIGIN_BALANCES], same, draws[:, 1]))
    recipient = _quantiles([_RECIPIENT_BALANCES], same, draws[:, 2])
    names_origin = (draws[:, 3] >> np.uint64(32)) % _ACCOUNTS + np.uint64(1)
    names_recipient = (draws[:, 3] & np.uint64(2**32 - 1)) % _ACCOUNTS + np.uint64(1)

    def balance(poorer: np.ndarray, richer: np.ndarray) -> np.ndarray:
        return poorer + np.where(richer, amount, 0)

    columns = {
        "step": pa.array(steps),
        "type": pa.array([kind.type for kind in KINDS]).take(pa.array(kinds)),
        "amount": decimals(amount),
        "nameOrig": _names("C", names_origin),
        "oldbalanceOrg": decimals(balance(origin, ~cash_in)),
        "newbalanceOrig": decimals(balance(origin, cash_in)),
        "nameDest": _names(pc.if_else(pa.array(merchant), "M", "C"), names_recipient),
        "oldbalanceDest": decimals(np.where(merchant, 0, balance(recipient, cash_in))),
        "newbalanceDest": decimals(np.where(merchant, 0, balance(recipient, ~cash_in))),
        "isFraud": pa.array(fraud.astype(np.int8)),
        "isFlaggedFraud": pa.array(flagged.astype(np.int8)),
    }
    text = io.BytesIO()
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    csv.write_csv(pa.RecordBatch.from_pydict(columns), text, options)
    return text.getvalue()


def _quantiles(tables: Sequence[Sequence[int]], which: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Returns a random amount (int64 minor units) for each draw.

    :param tables: octiles of the distributions, from minimum to maximum, in whole units of money
    :param which: the index of each draw's distribution in `tables`
    """
    knots = np.array(tables, np.int64) * 100
    eighth = (draws >> np.uint64(61)).astype(np.int64)
    within = ((draws >> np.uint64(37)) & np.uint64(2**24 - 1)).astype(np.int64)
    low = knots[which, eighth]
    place: np.ndarray = low + ((knots[which, eighth + 1] - low) * within >> 24)
    return place


#: .0 .01 … .1 .11 … .99: one or two decimals.
_CENTS = pa.array([f".{cents:02d}".removesuffix("0") if cents else ".0" for cents in range(100)])
#: From ten million on, Double.toString writes an exponent.
_SCIENTIFIC_MINOR = 10**7 * 100


def decimals(minor: np.ndarray) -> pa.StringArray:
    """Returns amounts in int64 minor units in the notation of Java's Double.toString: 170136.0, 2.718281828E7."""
    texts = pc.binary_join_element_wise(
        pa.array(minor // 100).cast(pa.string()), _CENTS.take(pa.array(minor % 100)), ""
    )
    large = pa.array(minor >= _SCIENTIFIC_MINOR)
    digits = pa.array(minor).filter(large).cast(pa.string())
    rest = pc.utf8_rtrim(pc.utf8_slice_codeunits(digits, 1), "0")
    rest = pc.if_else(pc.equal(rest, ""), "0", rest)
    exponents = pc.subtract(pc.binary_length(digits), 3).cast(pa.string())
    mantissas = pc.binary_join_element_wise(pc.utf8_slice_codeunits(digits, 0, 1), rest, ".")
    return pc.replace_with_mask(texts, large, pc.binary_join_element_wise(mantissas, exponents, "E"))


def _names(letters: str | pa.StringArray, numbers: np.ndarray) -> pa.StringArray:
    return pc.binary_join_element_wise(letters, pa.array(numbers).cast(pa.string()), "")


class _Permutation:
    """A random permutation of 0 … size-1 that can be computed for any part of it.

    It is a Feistel network on a larger range. Results outside of 0 … size-1 are permuted again (cycle walking).
    """

    def __init__(self, size: int, keys: np.ndarray) -> None:
        self._size = np.uint64(size)
        self._half = np.uint64(max(1, (int(size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = keys

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        found = self._once(numbers)
        while (outside := found >= self._size).any():
            found[outside] = self._once(found[outside])
        return found

    def _once(self, numbers: np.ndarray) -> np.ndarray:
        left, right = numbers >> self._half, numbers & self._mask
        for key in self._keys:
            mixed = (right + key) * np.uint64(0x9E3779B97F4A7C15)
            left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(29))) >> np.uint64(7) & self._mask)
        return (left << self._half) | right


def _nearest(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _shares(total: int, weights: Sequence[int]) -> list[int]:
    """Divides `total` in proportion to `weights`, by largest remainders; of equal remainders the first one counts."""
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in by_remainder[: total - sum(shares)]:
        shares[i] += 1
    return shares
