"""Formats records as JSON lines, a whole batch at a time. The code is vectorised: no line becomes a Python object.

Money is int64 minor units in a batch and a JSON number with two decimals in a line. The same 64 bits are read as a
decimal of scale 2, so no arithmetic can round it. Times are ISO 8601 UTC with milliseconds and Z.
"""

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from math import isfinite

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Batch

#: Returns the lines of a batch in UTF-8, each with a newline at its end.
ToLines = Callable[[Batch], bytes | pa.Buffer]

MONEY = frozenset({"amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest"})


def transaction(batch: Batch) -> pa.Buffer:
    """Lines of folder transaction/: the transactions."""
    return _joined([*_columns(batch), *_end(batch, "")])


def pending(batch: Batch) -> pa.Buffer:
    """Lines of folder fraud_confirmation/ for new cases: the transactions with status PENDING."""
    return _joined([*_columns(batch), *_end(batch, ',"status":"PENDING"')])


def outcome(batch: Batch) -> pa.Buffer:
    """Lines of folder fraud_confirmation/ for answered cases: the transactions with status and answeredAt.

    The line of a reported fraud also has `refund`: the amount, and the balances of both accounts before the
    transaction.
    """
    rows = batch.rows
    refund = pc.binary_join_element_wise(
        ',"refund":{"amount":',
        _money(rows["amount"]),
        ',"balanceOrig":',
        _money(rows["oldbalanceOrg"]),
        ',"balanceDest":',
        _money(rows["oldbalanceDest"]),
        "}",
        "",
    )
    reported = pc.equal(_plain_string(rows["status"]), "REPORTED_FRAUD")
    return _joined([*_columns(batch), pc.if_else(reported, refund, ""), *_end(batch, "")])


def event(batch: Batch) -> pa.Buffer:
    """Lines of folder case_event/: the events."""
    return _joined([*_columns(batch), *_end(batch, "")])


#: The formatter of each topic's records.
LINES_OF: dict[str, ToLines] = {
    NON_FRAUD_TRANSACTION: transaction,
    FRAUD_TRANSACTION: pending,
    FRAUD_CONFIRMATION: outcome,
    CASE_EVENT: event,
}


def _joined(pieces: list[pa.Array | str]) -> pa.Buffer:
    # The values buffer of the resulting array has the lines one after the other, as the body needs them.
    lines = pc.binary_join_element_wise(*_merged(pieces), "")
    return lines.buffers()[2] if len(lines) else pa.py_buffer(b"")


def _merged(pieces: list[pa.Array | str]) -> Iterator[pa.Array | str]:
    """The pieces, with consecutive constants merged: the cost of joining is the copying of each piece."""
    for constant, group in groupby(pieces, lambda piece: isinstance(piece, str)):
        if constant:
            yield "".join(group)
        else:
            yield from group


def _columns(batch: Batch) -> Iterator[pa.Array | str]:
    before = "{"
    for name, column in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
        yield f"{before}{json.dumps(name)}:"
        yield from _value(name, column)
        before = ","


def _end(batch: Batch, constant: str) -> Iterator[pa.Array | str]:
    topic, partition = batch.partition
    yield f'{constant},"topic":{json.dumps(topic)},"partition":{partition},"offset":'
    yield pc.cast(pa.array(batch.offsets), pa.string())
    yield ',"recordTimestamp":'
    yield from _time(pa.array(batch.timestamps).view(pa.timestamp("ms")))
    yield "}\n"


def _value(name: str, column: pa.Array) -> Iterator[pa.Array | str]:
    """A column's values as JSON. A null is written as text, because it would make the whole line null."""
    pieces = list(_plain_value(name, column))
    if column.null_count:
        yield pc.fill_null(pieces[0] if len(pieces) == 1 else pc.binary_join_element_wise(*pieces, ""), "null")
    else:
        yield from pieces


def _plain_value(name: str, column: pa.Array) -> Iterator[pa.Array | str]:
    kind = column.type
    if name in MONEY:
        yield _money(column)
    elif pa.types.is_timestamp(kind):
        yield from _time(column)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        yield pc.cast(column, pa.string())
    elif pa.types.is_floating(kind):
        yield _float(column)
    elif is_text(kind):
        yield '"'
        yield _escaped(_plain_string(column))
        yield '"'
    else:
        raise TypeError(f"column {name} of type {kind} has no form as JSON: give it one in lake/stream/lines.py")


def _float(column: pa.Array) -> pa.Array:
    # The shortest digits that are read back as the same number. NaN and infinity don't exist in JSON: they become null.
    return pa.array(
        [None if value is None else json.dumps(value) if isfinite(value) else "null" for value in column.to_pylist()],
        pa.string(),
    )


def _money(minor: pa.Array) -> pa.Array:
    decimal = pa.Array.from_buffers(pa.decimal64(18, 2), len(minor), minor.buffers(), offset=minor.offset)
    return pc.cast(decimal, pa.string())


def _time(moments: pa.Array) -> Iterator[pa.Array | str]:
    # Neighbouring records often have the same time, so each distinct time is formatted once.
    encoded = moments.dictionary_encode()
    different = encoded.dictionary
    day = pc.cast(pc.cast(different, pa.date32(), safe=False), pa.string())
    text = pc.binary_join_element_wise(day, "T", pc.cast(pc.cast(different, pa.time32("ms")), pa.string()), "")
    yield '"'
    yield text.take(encoded.indices)
    yield 'Z"'


def _plain_string(column: pa.Array) -> pa.Array:
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _escaped(strings: pa.Array) -> pa.Array:
    """The strings, escaped for JSON, without quotes. If none needs escaping, which is usual, the same array."""
    if not len(strings):
        return strings
    ends = strings.buffers()[1]
    first, last = (memoryview(ends).cast("i")[i] for i in (strings.offset, strings.offset + len(strings)))
    text = np.frombuffer(strings.buffers()[2] or b"", np.uint8)[first:last]
    if not ((text < ord(" ")) | (text == ord('"')) | (text == ord("\\"))).any():
        return strings
    values = strings.to_pylist()
    return pa.array(
        [None if value is None else json.dumps(value, ensure_ascii=False)[1:-1] for value in values], pa.string()
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether a column's values are strings, dictionary-encoded or not."""
    return bool(pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind))
