"""Avro in the Confluent wire format: a zero byte, the schema id (4 bytes, big-endian), the Avro body.

Single records are processed by fastavro, batches by pyruhvro (Arrow ↔ Avro in Rust). Both give the same result.
Wire format: the section "Wire format" of Confluent's schema registry documentation.
"""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, cast

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro
from confluent_kafka import Message

from fraudstream.errors import RecordError
from fraudstream.kafka.avro.registry import Registry
from fraudstream.kafka.avro.valid_records import TIME_EXPECTED, are_times, broken_rules
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS, UnknownSchema, WriterSchema, WriterSchemas
from fraudstream.kafka.topic.definitions import SCHEMA_FILES
from fraudstream.settings import SCHEMAS, Settings

#: The zero byte and the schema id.
HEADER = struct.Struct(">BI")
#: If a part of a batch is invalid and has at most this number of records, they are decoded one by one.
_FEW = 50
#: Maximum length of a reason, in characters.
_REASON = 300


@lru_cache
def schema_text(topic: str) -> str:
    """The Avro schema of a topic's values: the text of its file."""
    return (SCHEMAS / SCHEMA_FILES[topic]).read_text()


def fitted(topic: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of an earlier or later version, with the fields of the topic's schema.

    A missing field gets its default, if it has one; fields that the schema doesn't have are omitted.
    """
    fields = json.loads(schema_text(topic))["fields"]
    known = {field["name"]: field["default"] for field in fields if "default" in field} | dict(record)
    return {field["name"]: known[field["name"]] for field in fields if field["name"] in known}


@lru_cache
def arrow_schema(topic: str) -> pa.Schema:
    """Arrow columns of a topic's decoded rows: enums as strings, times as timestamp[ms], money as int64."""
    return pyruhvro.avro_to_arrow_schema(schema_text(topic))


@dataclass(frozen=True, slots=True)
class InvalidRecord:
    """An invalid record, with its index in the batch.

    `unknown_schema`: the schema registry has no schema with its id, which may change later. Any other reason is
    permanent.
    """

    index: int
    reason: str
    unknown_schema: bool = False


@dataclass(frozen=True, slots=True)
class DecodedMessages:
    """The result of decoding messages.

    `rows` are rows of :func:`arrow_schema`, and `valid` the messages that they come from, in the same order. `invalid`
    has the other messages with the reasons.
    """

    rows: pa.RecordBatch
    valid: list[Message]
    invalid: list[tuple[Message, str]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries, times as datetime in UTC."""
        return _records(self.rows)


class Codec:
    """Encodes and decodes the values of one topic. Not for use from several threads at once.

    Values of older or newer schemas are resolved to the topic's schema here, by Avro's rules.

    :param unknown_seconds: as for :class:`WriterSchemas`
    :raises SchemaRegistryError: from every method that has to look up a schema, if the registry doesn't answer
    """

    def __init__(self, topic: str, registry: Registry, unknown_seconds: float = UNKNOWN_SECONDS) -> None:
        self.topic = topic
        self._registry = registry
        self._text = schema_text(topic)
        self._schema = fastavro.parse_schema(json.loads(self._text))
        self._arrow = arrow_schema(topic)
        self._header: bytes | None = None
        self._writers = WriterSchemas(topic, self._schema, registry, unknown_seconds)
        self._times = [field.name for field in self._arrow if pa.types.is_timestamp(field.type)]

    @classmethod
    def for_topic(cls, topic: str, settings: Settings, unknown_seconds: float = UNKNOWN_SECONDS) -> "Codec":
        """The codec of a topic, with the registry of the settings."""
        return cls(topic, Registry(settings), unknown_seconds)

    def encode(self, record: dict[str, Any]) -> bytes:
        """One record in the wire format.

        :raises RecordError: the record doesn't fit the schema
        """
        out = io.BytesIO()
        out.write(self._own_header())
        try:
            fastavro.schemaless_writer(out, self._schema, record, strict=True)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(f"a record doesn't fit the schema of topic {self.topic}: {error}") from error
        return out.getvalue()

    def encode_rows(self, rows: pa.RecordBatch) -> pa.BinaryArray:
        """Rows of :func:`arrow_schema` in the wire format, in their order.

        :raises RecordError: the rows don't fit the schema
        """
        try:
            bodies = pyruhvro.serialize_record_batch(rows, self._text, 1)
        except (ValueError, TypeError) as error:
            raise RecordError(f"rows don't fit the schema of topic {self.topic}: {error}") from error
        return pc.binary_replace_slice(pa.concat_arrays(bodies), start=0, stop=0, replacement=self._own_header())

    def decode(self, value: bytes | None, timestamp: int | None = None) -> dict[str, Any]:
        """The record of one value, times as datetime in UTC.

        :param timestamp: of the Kafka record, ms since 1970; None: it isn't checked
        :raises RecordError: the record is invalid; the caller adds topic, partition and offset to the message
        """
        rows, invalid = self._decode_each([value], None if timestamp is None else np.array([timestamp]))
        if invalid:
            raise RecordError(invalid[0].reason)
        return _records(rows)[0]

    def decode_rows(
        self, values: pa.BinaryArray, timestamps: np.ndarray | None = None
    ) -> tuple[pa.RecordBatch, list[InvalidRecord]]:
        """Returns the valid records as rows of :func:`arrow_schema`, in their order, and the invalid records.

        A batch is decoded as a whole. If that fails, its halves are decoded, and small parts record by record.

        :param timestamps: of the Kafka records, as for :meth:`decode`
        """
        if timestamps is None or are_times(timestamps).all():
            rows = self._decode_at_once(values)
            if rows is not None:
                return rows, []
        if len(values) <= _FEW:
            return self._decode_each(values.to_pylist(), timestamps)
        half = len(values) // 2
        first, invalid = self.decode_rows(values[:half], None if timestamps is None else timestamps[:half])
        second, more = self.decode_rows(values[half:], None if timestamps is None else timestamps[half:])
        return pa.concat_batches([first, second]), invalid + [
            replace(record, index=record.index + half) for record in more
        ]

    def foreign(self, values: pa.BinaryArray) -> list[int]:
        """The indices of values that were written with another schema than the topic's own.

        Values without a known schema are not among them.
        """
        headers = pc.binary_slice(values, 0, HEADER.size).dictionary_encode()
        own = pa.array([not self._is_foreign(header) for header in headers.dictionary.to_pylist()], pa.bool_())
        if pc.all(own).as_py():
            return []
        return [int(i) for i in np.flatnonzero(~pc.fill_null(own.take(headers.indices), True).to_numpy(False))]

    def decode_messages(self, messages: Sequence[Message]) -> DecodedMessages:
        """Decodes the values of messages. The messages must be records: none of them may be an error."""
        timestamps = np.array([message.timestamp()[1] for message in messages], np.int64)
        rows, invalid = self.decode_rows(pa.array([message.value() for message in messages], pa.binary()), timestamps)
        without = {record.index for record in invalid}
        valid = [message for index, message in enumerate(messages) if index not in without]
        return DecodedMessages(rows, valid, [(messages[record.index], record.reason) for record in invalid])

    def _decode_at_once(self, values: pa.BinaryArray) -> pa.RecordBatch | None:
        """Decodes all values with pyruhvro; None if one of them has another schema or is invalid."""
        if not len(values):
            return pa.RecordBatch.from_pylist([], self._arrow)
        first = values[0].as_py()
        try:
            if values.null_count or not self._writer(first).own:
                return None
        except RecordError:
            return None
        if not pc.all(pc.starts_with(values, first[: HEADER.size])).as_py():
            return None
        bodies = pc.binary_replace_slice(values, start=0, stop=HEADER.size, replacement=b"")
        try:
            rows = pyruhvro.deserialize_array(bodies.to_pylist(), self._text)
            # pyruhvro truncates integers to the width of their column and ignores bytes after a record's end. Rows that
            # were decoded correctly give the same bytes when they are encoded again.
            same = pa.concat_arrays(pyruhvro.serialize_record_batch(rows, self._text, 1)).equals(bodies)
        except (ValueError, TypeError):
            return None
        return rows if same and not broken_rules(SCHEMA_FILES[self.topic], rows) else None

    def _decode_each(
        self, values: Sequence[bytes | None], timestamps: np.ndarray | None
    ) -> tuple[pa.RecordBatch, list[InvalidRecord]]:
        """As :meth:`decode_rows`, but decodes record by record."""
        read: dict[int, pa.RecordBatch] = {}
        invalid: dict[int, InvalidRecord] = {}
        for index, value in enumerate(values):
            try:
                if timestamps is not None:
                    _check_timestamp(int(timestamps[index]))
                read[index] = self._read(value)
            except RecordError as error:
                invalid[index] = InvalidRecord(index, str(error), unknown_schema=isinstance(error, UnknownSchema))
        rows = pa.concat_batches(read.values()) if read else pa.RecordBatch.from_pylist([], schema=self._arrow)
        broken = broken_rules(SCHEMA_FILES[self.topic], rows)
        places = list(read)
        for row, rule in broken.items():
            found = str(rows[rule.column][row].as_py())[:100]
            reason = f"column {rule.column}: found {found!r}, expected {rule.expected}"
            invalid[places[row]] = InvalidRecord(places[row], reason)
        if broken:
            rows = rows.take(pa.array(sorted(set(range(len(rows))) - broken.keys()), pa.int64()))
        return rows, [invalid[index] for index in sorted(invalid)]

    def _read(self, value: bytes | None) -> pa.RecordBatch:
        """Decodes one value to a row with fastavro, by Avro's rules of schema resolution."""
        if value is None:
            raise RecordError("no value: the record is a tombstone")
        writer = self._writer(value)
        body = io.BytesIO(value[HEADER.size :])
        again = io.BytesIO()
        try:
            plain = fastavro.schemaless_reader(body, writer.plain)
            behind = len(value) - HEADER.size - body.tell()
            if not behind:
                fastavro.schemaless_writer(again, writer.plain, plain)
                body.seek(0)
                record = fastavro.schemaless_reader(body, writer.parsed, self._schema)
        except MemoryError:
            raise
        except Exception as error:  # the bytes can be anything, and so can the error
            raise RecordError(f"not Avro of its schema: {type(error).__name__} {error}"[:_REASON]) from error
        if behind:
            raise RecordError(f"not Avro of its schema: {behind} bytes behind the record")
        if again.getvalue() != body.getvalue():
            raise RecordError("not Avro of its schema: no encoder writes these bytes, such as 2 ** 64 + 1 for 1")
        for name in self._times:
            if isinstance(record[name], datetime) and record[name].microsecond % 1000:
                raise RecordError(f"column {name}: found {record[name].isoformat()}, expected {TIME_EXPECTED}")
        try:
            return pa.RecordBatch.from_pylist([record], schema=self._arrow)
        except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
            raise RecordError(f"not Avro of its schema: {error}"[:_REASON]) from error

    def _is_foreign(self, header: bytes) -> bool:
        try:
            return not self._writer(header).own
        except RecordError:
            return False

    def _own_header(self) -> bytes:
        if self._header is None:
            self._header = HEADER.pack(0, self._registry.identifier(self.topic, self._text))
        return self._header

    def _writer(self, value: bytes) -> WriterSchema:
        """The schema that a value was written with: that of the id in its header."""
        if len(value) < HEADER.size:
            raise RecordError(f"not the wire format: {len(value)} bytes, expected a header of {HEADER.size} first")
        magic, identifier = HEADER.unpack_from(value)
        if magic != 0:
            raise RecordError(f"not the wire format: the first byte is {magic}, expected 0")
        return self._writers[identifier]


def _check_timestamp(timestamp: int) -> None:
    if not are_times(np.array([timestamp])).all():
        raise RecordError(f"record timestamp: found {timestamp}, expected {TIME_EXPECTED}")


def _records(rows: pa.RecordBatch) -> list[dict[str, Any]]:
    in_utc = [
        column.cast(pa.timestamp("ms", "UTC")) if pa.types.is_timestamp(column.type) else column
        for column in rows.columns
    ]
    return cast(list[dict[str, Any]], pa.RecordBatch.from_arrays(in_utc, rows.schema.names).to_pylist())
