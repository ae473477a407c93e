"""Records as JSON lines, a whole batch at a time: what makes the text is vectorised, no line is a Python object.

Money comes out as a JSON number with two decimals and goes in as int64 minor units: the same 64 bits read as a
decimal of scale 2, so there is no arithmetic that could round. Times are ISO 8601 UTC with milliseconds and Z.
"""

import json
from collections.abc import Callable, Iterator
from itertools import groupby
from math import isfinite

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Batch

#: Makes the lines of a batch, each ended by a newline, UTF-8.
ToLines = Callable[[Batch], bytes | pa.Buffer]

MONEY = frozenset({"amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest"})


def transaction(batch: Batch) -> pa.Buffer:
    """Line of folder transaction/: the transaction."""
    return _joined([*_columns(batch), *_end(batch, "")])


def pending(batch: Batch) -> pa.Buffer:
    """Line of folder fraud_confirmation/ for a new case: the transaction, status PENDING."""
    return _joined([*_columns(batch), *_end(batch, ',"status":"PENDING"')])


def outcome(batch: Batch) -> pa.Buffer:
    """Line of folder fraud_confirmation/ for an answered case: the transaction, status, answeredAt.

    A reported fraud has `refund` too: the amount and the balances that restore both sides.
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
    """Line of folder case_event/: the event."""
    return _joined([*_columns(batch), *_end(batch, "")])


#: The lines of each topic's records.
LINES_OF: dict[str, ToLines] = {
    NON_FRAUD_TRANSACTION: transaction,
    FRAUD_TRANSACTION: pending,
    FRAUD_CONFIRMATION: outcome,
    CASE_EVENT: event,
}


def _joined(pieces: list[pa.Array | str]) -> pa.Buffer:
    # Lines lie one after the other in the values buffer of the resulting array: that buffer is the body.
    lines = pc.binary_join_element_wise(*_merged(pieces), "")
    return lines.buffers()[2] if len(lines) else pa.py_buffer(b"")


def _merged(pieces: list[pa.Array | str]) -> Iterator[pa.Array | str]:
    """The pieces, constants that follow each other as one: what joining costs is copying pieces."""
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
    """A column's values as JSON; one that is null makes the whole line null unless it is written out."""
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
    # The shortest digits that read back as the same number; what JSON has no word for is null.
    return pa.array(
        [None if value is None else json.dumps(value) if isfinite(value) else "null" for value in column.to_pylist()],
        pa.string(),
    )


def _money(minor: pa.Array) -> pa.Array:
    decimal = pa.Array.from_buffers(pa.decimal64(18, 2), len(minor), minor.buffers(), offset=minor.offset)
    return pc.cast(decimal, pa.string())


def _time(moments: pa.Array) -> Iterator[pa.Array | str]:
    # Neighbours share their moment: each different one is written once.
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
    """The strings as they stand between the quotes of JSON; nearly always the very same array."""
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
    """Whether a column's values are strings, or codes of strings."""
    return bool(pa.types.is_string(kind.value_type if pa.types.is_dictionary(kind) else kind))
