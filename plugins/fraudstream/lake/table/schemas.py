"""Columns and sort order of each folder's rows. The columns are the same for JSON lines and for the table.

The columns follow include/schemas: a field that is added to an Avro schema becomes a column, and is null in the rows of
older objects. Money is DECIMAL(18,2), times are UTC timestamps in milliseconds.
"""

from collections.abc import Sequence
from functools import cache

import pyarrow as pa
import pyarrow.json

from fraudstream.errors import LakeError
from fraudstream.kafka.avro.codec import arrow_schema
from fraudstream.kafka.records import CASE_EVENT, FRAUD_CONFIRMATION, NON_FRAUD_TRANSACTION
from fraudstream.lake.stream.lines import MONEY
from fraudstream.lake.stream.names import CASE_EVENTS, FRAUD_CASES, MAILS, TRANSACTIONS

_MONEY = pa.decimal128(18, 2)
_TIME = pa.timestamp("ms", "UTC")
_PLACE = [
    pa.field("topic", pa.string()),
    pa.field("partition", pa.int32()),
    pa.field("offset", pa.int64()),
    pa.field("recordTimestamp", _TIME),
]
_REFUND = pa.struct([("amount", _MONEY), ("balanceOrig", _MONEY), ("balanceDest", _MONEY)])
_MAIL = [
    pa.field("idTransaction", pa.string()),
    pa.field("kind", pa.string()),
    pa.field("recipient", pa.string()),
    pa.field("messageId", pa.string()),
    pa.field("status", pa.string()),
    pa.field("reply", pa.string()),
    pa.field("attempts", pa.int32()),
    pa.field("firstTriedAt", _TIME),
    pa.field("finishedAt", _TIME),
]

#: Sort order of the rows in a Parquet file. The history of a customer, which people query most, is then in one or two
#: row groups of a file. The PENDING row of a case is next to its outcome. Mails and events are looked up by
#: transaction. The last columns make the order total, so that the same rows always give the same file.
SORT_ORDER = {
    TRANSACTIONS: ("nameOrig", "timestamp", "topic", "partition", "offset"),
    FRAUD_CASES: ("nameOrig", "idTransaction", "topic", "partition", "offset"),
    MAILS: ("idTransaction", "topic", "partition", "offset"),
    CASE_EVENTS: ("idTransaction", "at", "topic", "partition", "offset"),
}
#: The topic whose schema a folder's columns follow.
_TOPIC_OF = {TRANSACTIONS: NON_FRAUD_TRANSACTION, FRAUD_CASES: FRAUD_CONFIRMATION, CASE_EVENTS: CASE_EVENT}


@cache
def rows_schema(folder: str) -> pa.Schema:
    """Returns the columns of a folder's rows. A nested value of the JSON is a column named ``outer_inner``."""
    return pa.schema(
        [
            pa.field(f"{field.name}_{inner.name}", inner.type) if inner is not field else field
            for field in json_schema(folder)
            for inner in (list(field.type) if pa.types.is_struct(field.type) else [field])
        ]
    )


@cache
def json_schema(folder: str) -> pa.Schema:
    """Returns the fields of a folder's JSON lines, with their types."""
    if folder == MAILS:
        return pa.schema([*_MAIL, *_PLACE])
    fields = [pa.field(field.name, _lake_type(field)) for field in arrow_schema(_TOPIC_OF[folder])]
    return pa.schema([*fields, *([pa.field("refund", _REFUND)] if folder == FRAUD_CASES else []), *_PLACE])


def _lake_type(field: pa.Field) -> pa.DataType:
    if field.name in MONEY:
        return _MONEY
    return _TIME if pa.types.is_timestamp(field.type) else field.type


def rows_of_lines(folder: str, name: str, lines: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """Returns the rows of the JSON lines of one object, with the columns of :func:`rows_schema`.

    :param name: the object's name, for the message
    :param columns: if given, only these are read, and other fields aren't checked; they must not be of a nested value
    :raises LakeError: a line isn't JSON, has no topic, partition, offset or recordTimestamp, or has an unknown field or
        a value of another type
    """
    schema = json_schema(folder)
    if columns:
        schema = pa.schema([schema.field(name) for name in columns])
    if not lines:
        return (schema if columns else rows_schema(folder)).empty_table()
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(lines),
            # The caller already reads several objects in parallel threads.
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=max(1 << 20, len(lines))),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore" if columns else "error"
            ),
        )
    except pa.ArrowInvalid as error:
        raise LakeError(
            f"object {name} holds lines that don't fit folder {folder}/ ({error}): it was written by another version"
            " of the pipeline or by something else; use the version that wrote it, or move it out of the folder"
        ) from error
    if any(table[field.name].null_count for field in _PLACE if field.name in schema.names):
        raise LakeError(f"object {name} holds lines without topic, partition, offset or recordTimestamp: move it away")
    flat = table if columns else table.flatten().rename_columns(rows_schema(folder).names)
    return flat.combine_chunks()
