"""Defines the valid values of each column, as functions that parse Arrow columns.

Each function takes the texts of a column, without spaces or quotes around them, and returns the values: null for a text
that is not valid. Arrow parses columns or texts in plain notation. Other texts are parsed one by one with Python's
decimals. No value is converted to a float.
"""

import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.kafka.avro.valid_records import are_times

TYPES = ("CASH_IN", "CASH_OUT", "DEBIT", "PAYMENT", "TRANSFER")
MONEY = frozenset({"amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest"})
FLAGS = frozenset({"isFraud", "isFlaggedFraud"})
MOST_STEPS = 999_999
#: Maximum distance of a value from the nearest cent, in cents. Arithmetic with doubles causes it (181.00000000000003).
_NOISE_CENTS = Decimal("0.0001")
_MOST_MINOR = 10**17 - 1
_TIME = pa.timestamp("ms")


class Column(NamedTuple):
    """The function that parses a column, and a description of its valid values."""

    read: Callable[[pa.StringArray], pa.Array]
    expected: str


_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_NUMBER_CHARACTERS = 64
#: Exact for every number of at most _NUMBER_CHARACTERS whose exponent is in the accepted range.
_EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)


def minor_units(text: str) -> int | None:
    """Returns the cents of a decimal in plain or scientific notation, parsed exactly; None: not an amount of money."""
    if len(text) > _NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    if value and not -30 <= value.adjusted() <= 15:
        return 0 if value.adjusted() < 0 else None
    cents = _EXACT.multiply(value, 100)
    nearest = cents.to_integral_value(context=_EXACT)
    if abs(_EXACT.subtract(cents, nearest)) > _NOISE_CENTS or not 0 <= nearest <= _MOST_MINOR:
        return None
    return int(nearest)


def _whole(text: str) -> int | None:
    """Parses a step that a tool wrote with a fraction (``1.0``) or an exponent."""
    minor = minor_units(text)
    return minor // 100 if minor is not None and minor % 100 == 0 and minor <= 100 * MOST_STEPS else None


def _money(texts: pa.StringArray) -> pa.Int64Array:
    try:
        return _not_negative(_lower_halves(texts.cast(pa.decimal128(17, 2))))
    except pa.ArrowInvalid:
        plain = pc.match_substring_regex(texts, r"^[0-9]{1,15}(\.[0-9]{1,2})?$")
        decimals = pc.if_else(plain, texts, "0").cast(pa.decimal128(17, 2))
        return _one_by_one(texts, plain, _lower_halves(decimals), minor_units)


def _steps(texts: pa.StringArray) -> pa.Int32Array:
    if _all(pc.ascii_is_decimal, texts, 6):
        return texts.cast(pa.int32())
    plain = pc.match_substring_regex(texts, "^[0-9]{1,6}$")
    whole = pc.if_else(plain, texts, "0").cast(pa.int32()).to_numpy()
    return _one_by_one(texts, plain, whole, _whole)


#: Texts for 0 have even indexes, texts for 1 odd ones: the lowest bit of the index is the value.
_FLAG_TEXTS = pa.array(["0", "1", "0.0", "1.0", "0.00", "1.00", "False", "True", "false", "true", "FALSE", "TRUE"])


def _flags(texts: pa.StringArray) -> pa.Int32Array:
    return pc.bit_wise_and(pc.index_in(texts, value_set=_FLAG_TEXTS), pa.scalar(1, pa.int32()))


def _types(texts: pa.StringArray) -> pa.StringArray:
    return _where(pc.is_in(texts, value_set=pa.array(TYPES)), texts)


def _names(texts: pa.StringArray) -> pa.StringArray:
    if _all(pc.ascii_is_alnum, texts, 64):
        return texts
    return _where(pc.match_substring_regex(texts, "^[A-Za-z0-9_-]{1,64}$"), texts)


_LEAP_YEAR = "(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)"
_DATE = (
    "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP_YEAR}-02-29)"
)
_HOUR_MINUTE = "(?:[01][0-9]|2[0-3]){colon}[0-5][0-9]"
_TIMESTAMP = (
    f"^{_DATE}[T ]{_HOUR_MINUTE.format(colon=':')}:[0-5][0-9](?:[.][0-9]{{1,9}})?"
    f"(?:Z|[+-]{_HOUR_MINUTE.format(colon=':?')})?$"
)
_FRACTION_AND_ZONE = "^(?:[.](?P<fraction>[0-9]{1,3})[0-9]*)?(?:Z|(?P<sign>[+-])(?P<hour>..):?(?P<minute>..))?$"


def _timestamps(texts: pa.StringArray) -> pa.TimestampArray:
    """Returns timestamp[ms] in UTC; finer fractions are truncated."""
    valid = pc.match_substring_regex(texts, _TIMESTAMP)
    texts = pc.if_else(valid, texts, "2023-10-01 00:00:00")
    seconds = pc.utf8_slice_codeunits(texts, 0, 19).cast(pa.timestamp("s")).cast(pa.int64()).to_numpy()
    rest = pc.extract_regex(pc.utf8_slice_codeunits(texts, 19), _FRACTION_AND_ZONE)

    def number(field: str, digits: int) -> np.ndarray:
        padded = pc.utf8_rpad(pc.struct_field(rest, field), digits, "0")
        return np.asarray(padded.cast(pa.int64()))

    minutes = 60 * number("hour", 2) + number("minute", 2)
    ahead = np.where(pc.equal(pc.struct_field(rest, "sign"), "-").to_numpy(zero_copy_only=False), -minutes, minutes)
    milliseconds = 1000 * (seconds - 60 * ahead) + number("fraction", 3)
    valid = pc.and_(valid, pa.array(are_times(milliseconds)))
    return _where(valid, pa.array(milliseconds).cast(_TIME))


_NAME = Column(_names, "1 to 64 of A-Z a-z 0-9 _ -")
_AMOUNT = Column(_money, "a decimal, not negative, at most 15 digits before the point and 2 after it")
_FLAG = Column(_flags, "0 or 1")
#: The columns by their names in include/schemas/transaction.avsc.
COLUMNS = {
    "idTransaction": _NAME,
    "timestamp": Column(_timestamps, "a date and time like 2023-10-01 13:00:00 or …T13:00:00.000Z, from 1971 to 2199"),
    "step": Column(_steps, f"a whole number from 0 to {MOST_STEPS}"),
    "type": Column(_types, f"one of {', '.join(TYPES)}"),
    "nameOrig": _NAME,
    "nameDest": _NAME,
    **dict.fromkeys(sorted(MONEY), _AMOUNT),
    **dict.fromkeys(sorted(FLAGS), _FLAG),
}


def _all(are: Callable[[pa.StringArray], pa.BooleanArray], texts: pa.StringArray, most: int) -> bool:
    """Whether all texts satisfy `are` and have at most `most` bytes. Takes a tenth of the time of a regular expression.

    The predicates are false for an empty text.
    """
    return bool(pc.all(are(texts)).as_py()) and (pc.max(pc.binary_length(texts)).as_py() or 0) <= most


def _where(valid: pa.BooleanArray, values: pa.Array) -> pa.Array:
    return values if pc.all(valid).as_py() else pc.if_else(valid, values, None)


def _lower_halves(decimals: pa.Decimal128Array) -> np.ndarray:
    """Converts decimal128 with scale 2 to int64: the lower half of the 128-bit integer. 17 digits fit in 64 bits."""
    halves = np.frombuffer(decimals.buffers()[1], np.int64)
    lower = halves[2 * decimals.offset : 2 * (decimals.offset + len(decimals)) : 2]
    return np.ascontiguousarray(lower)  # so that Arrow uses the memory without a copy


def _not_negative(minor: np.ndarray) -> pa.Int64Array:
    return pa.array(minor) if minor.min(initial=0) >= 0 else pa.array(minor, mask=minor < 0)


def _one_by_one(
    texts: pa.StringArray, regular: pa.BooleanArray, values: np.ndarray, read: Callable[[str], int | None]
) -> pa.Array:
    """Returns `values` where a text is regular; parses the other texts with `read`, which returns None if invalid."""
    others = np.flatnonzero(~regular.to_numpy(zero_copy_only=False))
    values, invalid = values.copy(), np.zeros(len(values), bool)
    for index, text in zip(others, texts.take(pa.array(others)).to_pylist(), strict=True):
        value = read(text)
        values[index], invalid[index] = value or 0, value is None
    return pa.array(values, mask=invalid)
