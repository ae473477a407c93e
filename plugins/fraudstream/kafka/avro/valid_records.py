"""The rules for valid records: one definition for every topic, for batches and for single records.

A record is valid if its value decodes completely (:mod:`fraudstream.kafka.avro.codec`) and lake, tables, mails and
Airflow can store each of its fields. All readers of a topic skip the same records, because the validity of a record
depends only on its value, its timestamp and the schema registry.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.kafka.topic.definitions import MAILS

#: The range of valid times in ms since 1970; the lake's days, the mails and all tables can represent them. A time that
#: was given in seconds is before this range, and one in micro- or nanoseconds is after it.
FIRST_MS = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp() * 1000)
END_MS = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp() * 1000)
TIME_EXPECTED = "milliseconds since 1970 of a time in 1971 to 2199"
#: DECIMAL(18,2) can store amounts whose absolute value, in minor units, is below this.
_MONEY_END = 10**18
_NAME_BYTES = 255
#: Maximum nesting depth of a JSON object.
_NESTED = 20

Holds = Callable[[pa.Array], pa.Array]


@dataclass(frozen=True)
class Rule:
    """A rule for the values of a column: `holds` returns for each value whether it is valid, `expected` is a text."""

    column: str
    expected: str
    holds: Holds


def are_times(milliseconds: np.ndarray) -> np.ndarray:
    """Returns for each number (int64, ms since 1970) whether it is a valid time of a record."""
    valid: np.ndarray = (milliseconds >= FIRST_MS) & (milliseconds < END_MS)
    return valid


def storable(text: str) -> str:
    """Replaces NUL in a text from outside, such as a mail server's reply, so that it is valid in a text column."""
    return text.replace("\0", "\ufffd")


def broken_rules(schema_file: str, rows: pa.RecordBatch) -> dict[int, Rule]:
    """The first rule that each invalid row breaks, by the row's index; empty if all rows are valid."""
    broken: dict[int, Rule] = {}
    for rule in RULES[schema_file]:
        holds = rule.holds(rows[rule.column])
        if not pc.all(holds).as_py():
            for index in np.flatnonzero(~holds.to_numpy(zero_copy_only=False)).tolist():
                broken.setdefault(index, rule)
    return broken


def _between(first: int, end: int) -> Holds:
    def holds(numbers: pa.Array) -> pa.Array:
        return pc.fill_null(pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, end)), True)

    return holds


def _are_times(times: pa.Array) -> pa.Array:
    return _between(FIRST_MS, END_MS)(times.cast(pa.int64()))


def _are_texts(texts: pa.Array) -> pa.Array:
    """Whether each text is UTF-8, which pyruhvro doesn't check, and has no NUL, which Postgres' JSON can't store."""
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        clean = False
    else:
        clean = not _has_bytes_below(1, texts)
    if clean:
        return pa.repeat(True, len(texts))
    return pa.array([_is_text(content) for content in texts.cast(pa.binary()).to_pylist()], pa.bool_())


def _is_text(content: bytes | None) -> bool:
    try:
        return content is None or "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _each(holds: Callable[[bytes], bool]) -> Holds:
    """A check of texts one by one, for columns of topics with few records."""

    def each_holds(texts: pa.Array) -> pa.Array:
        return pa.array([holds(content) for content in texts.cast(pa.binary()).to_pylist()], pa.bool_())

    return each_holds


def _is_json_object(content: bytes) -> bool:
    """Whether every reader can parse the object: it has no NaN, no lone surrogates, and isn't nested too deeply."""
    try:
        found = json.loads(content) if _is_text(content) else None
        if not isinstance(found, dict) or not _nested_at_most(_NESTED, found):
            return False
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _nested_at_most(levels: int, value: object) -> bool:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_nested_at_most(levels - 1, part) for part in parts)


def _is_base64(content: bytes) -> bool:
    try:
        base64.b64decode(content, validate=True)
    except ValueError:
        return False
    return True


def _are_names(texts: pa.Array) -> pa.Array:
    lengths = pc.binary_length(texts)
    fit = pc.and_(pc.and_(pc.greater(lengths, 0), pc.less_equal(lengths, _NAME_BYTES)), _are_texts(texts))
    if not _has_bytes_below(32, texts):
        return fit
    contents = zip(fit.to_pylist(), texts.cast(pa.binary()).to_pylist(), strict=True)
    return pa.array([fits and min(content) >= 32 for fits, content in contents], pa.bool_())


def _has_bytes_below(number: int, texts: pa.Array) -> bool:
    _, offsets, data = texts.buffers()
    if data is None or not len(texts):
        return False
    ends = np.frombuffer(offsets, np.int32)
    content = np.frombuffer(data, np.uint8)[ends[texts.offset] : ends[texts.offset + len(texts)]]
    return bool((content < number).any())


_NAME = f"1 to {_NAME_BYTES} bytes of UTF-8 without control characters"
_MONEY = "an amount in minor units that DECIMAL(18,2) has room for"
_TRANSACTION = (
    *(Rule(name, _NAME, _are_names) for name in ("idTransaction", "nameOrig", "nameDest")),
    Rule("timestamp", TIME_EXPECTED, _are_times),
    Rule("step", "null or a number from 0 on", _between(0, 2**31)),
    *(
        Rule(name, _MONEY, _between(1 - _MONEY_END, _MONEY_END))
        for name in ("amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest")
    ),
    *(Rule(name, "0 or 1", _between(0, 2)) for name in ("isFraud", "isFlaggedFraud")),
)
_TEXT = "valid UTF-8 without NUL"
#: The rules for the columns of a topic's rows, by the file of its schema. Enums need no rule: the schema has their
#: values.
RULES: dict[str, tuple[Rule, ...]] = {
    "transaction.avsc": _TRANSACTION,
    "fraud_confirmation.avsc": (
        *_TRANSACTION,
        Rule("answeredAt", TIME_EXPECTED, _are_times),
        *(Rule(name, f"null or {_TEXT}", _are_texts) for name in ("channel", "decidedBy", "reason")),
    ),
    "case_event.avsc": (
        *(Rule(name, _NAME, _are_names) for name in ("idTransaction", "eventType", "by")),
        *(Rule(name, _TEXT, _are_texts) for name in ("reason", "recipient")),
        Rule("details", f"a JSON object of at most {_NESTED} levels, without NaN", _each(_is_json_object)),
        Rule("at", TIME_EXPECTED, _are_times),
    ),
    "mail_retry.avsc": (
        *(Rule(name, _NAME, _are_names) for name in ("tryId", "idTransaction")),
        *(Rule(name, _TEXT, _are_texts) for name in ("resend", "reply")),
        Rule("kind", "notice, fraud_notice or receipt", _each({b"notice", b"fraud_notice", b"receipt"}.__contains__)),
        Rule("topic", f"one of {', '.join(MAILS)}", _each({topic.encode() for topic in MAILS}.__contains__)),
        Rule("value", "base64", _each(_is_base64)),
        *(Rule(name, TIME_EXPECTED, _are_times) for name in ("dueAt", "firstTriedAt", "recordTimestamp")),
        Rule("until", f"null or {TIME_EXPECTED}", _are_times),
        *(
            Rule(name, "a number from 0 on", _between(0, 2**31))
            for name in ("deferrals", "attempts", "unanswered", "partition")
        ),
        Rule("offset", "a number from 0 on", _between(0, 2**62)),
    ),
    "ingest_progress.avsc": tuple(Rule(name, _TEXT, _are_texts) for name in ("file", "source")),
}
