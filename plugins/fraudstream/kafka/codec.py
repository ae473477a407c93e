"""Avro in the Confluent wire format: a zero byte, the schema id (4 bytes, big-endian), the Avro body.

One record at a time goes through fastavro, batches through pyruhvro (Arrow ↔ Avro in Rust); nobody else knows which.
Wire format: the section "Wire format" of Confluent's schema registry documentation.
"""

import io
import json
import struct
from functools import lru_cache
from typing import Any, cast

import fastavro
import pyarrow as pa
import pyarrow.compute as pc
import pyruhvro

from fraudstream.errors import RecordError
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    INGEST_PROGRESS,
    MAIL_RETRY,
    NON_FRAUD_TRANSACTION,
)
from fraudstream.kafka.registry import Registry
from fraudstream.settings import SCHEMAS, Settings

#: File under include/schemas/ for the values of each topic.
SCHEMA_FILES = {
    NON_FRAUD_TRANSACTION: "transaction.avsc",
    FRAUD_TRANSACTION: "transaction.avsc",
    FRAUD_CONFIRMATION: "fraud_confirmation.avsc",
    CASE_EVENT: "case_event.avsc",
    MAIL_RETRY: "mail_retry.avsc",
    INGEST_PROGRESS: "ingest_progress.avsc",
}
_HEADER = struct.Struct(">bI")
#: Years 1 to 9999, in ms since 1970.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999


@lru_cache
def schema_text(topic: str) -> str:
    """The Avro schema of a topic's values, as the file has it."""
    return (SCHEMAS / SCHEMA_FILES[topic]).read_text()


@lru_cache
def arrow_schema(topic: str) -> pa.Schema:
    """Arrow columns of a topic's decoded rows: enums as strings, times as timestamp[ms], money as int64."""
    return pyruhvro.avro_to_arrow_schema(schema_text(topic))


class Codec:
    """Encodes and decodes the values of one topic. Not for use from several threads at once.

    Values of older or newer schemas are resolved to the topic's schema here, by Avro's rules.

    :raises SchemaRegistryError: from every method that meets a schema it doesn't know yet, when the registry
        doesn't answer
    """

    def __init__(self, topic: str, registry: Registry) -> None:
        self.topic = topic
        self._registry = registry
        self._text = schema_text(topic)
        self._schema = fastavro.parse_schema(json.loads(self._text))
        self._arrow = arrow_schema(topic)
        self._header: bytes | None = None
        #: Writer's schema of each id met: None where it is the topic's own, a reason where it can't be used.
        self._writers: dict[int, Any] = {}

    @classmethod
    def for_topic(cls, topic: str, settings: Settings) -> "Codec":
        """The codec of a topic, with the registry of the settings."""
        return cls(topic, Registry(settings))

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

    def decode(self, value: bytes | None) -> dict[str, Any]:
        """The record of one value, times as datetime in UTC.

        :raises RecordError: it isn't Avro of a known schema; the caller adds topic, partition and offset
        """
        writer = self._writer(value)
        if value is None or isinstance(writer, str):
            raise RecordError(writer)
        try:
            record = fastavro.schemaless_reader(io.BytesIO(value[_HEADER.size :]), writer or self._schema, self._schema)
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            EOFError,
            OverflowError,
            fastavro.read.SchemaResolutionError,
        ) as error:
            raise RecordError(f"the value is no Avro of its schema: {type(error).__name__} {error}") from error
        return cast(dict[str, Any], record)

    def decode_rows(self, values: pa.BinaryArray) -> tuple[pa.RecordBatch, list[tuple[int, str]]]:
        """Rows of :func:`arrow_schema` of the values that can be decoded, in order; (index, reason) of the rest."""
        rows_at_once = self._decode_at_once(values)
        if rows_at_once is not None:
            return rows_at_once, []
        rows: list[dict[str, Any]] = []
        bad: list[tuple[int, str]] = []
        for index, value in enumerate(values.to_pylist()):
            try:
                rows.append(self.decode(value))
            except RecordError as error:
                bad.append((index, str(error)))
        return pa.RecordBatch.from_pylist(rows, schema=self._arrow), bad

    def _decode_at_once(self, values: pa.BinaryArray) -> pa.RecordBatch | None:
        """All values through pyruhvro; None where one of them has another schema or is broken."""
        if not len(values):
            return pa.RecordBatch.from_pylist([], self._arrow)
        first = values[0].as_py()
        if values.null_count or self._writer(first) is not None:
            return None
        if not pc.all(pc.starts_with(values, first[: _HEADER.size])).as_py():
            return None
        bodies = pc.binary_replace_slice(values, start=0, stop=_HEADER.size, replacement=b"").to_pylist()
        try:
            rows = pyruhvro.deserialize_array(bodies, self._text)
        except ValueError:
            return None
        # pyruhvro takes any 64-bit time; a day that no calendar has is a broken record, as it is for fastavro.
        times = (rows.column(field.name) for field in self._arrow if pa.types.is_timestamp(field.type))
        in_calendar = (pc.min_max(column.cast(pa.int64())).as_py() for column in times)
        return rows if all(t["min"] >= _FIRST_MS and t["max"] <= _LAST_MS for t in in_calendar) else None

    def _own_header(self) -> bytes:
        if self._header is None:
            self._header = _HEADER.pack(0, self._registry.identifier(self.topic, self._text))
        return self._header

    def _writer(self, value: bytes | None) -> Any:
        """The schema a value was written with: None where it is the topic's own, a string where it can't be read."""
        if value is None:
            return "the record has no value"
        if len(value) < _HEADER.size:
            return f"{len(value)} bytes are too short for the wire format's header of {_HEADER.size}"
        magic, identifier = _HEADER.unpack_from(value)
        if magic != 0:
            return f"the first byte is {magic & 0xFF}, not the wire format's 0"
        if identifier not in self._writers:
            self._writers[identifier] = self._look_up(identifier)
        return self._writers[identifier]

    def _look_up(self, identifier: int) -> Any:
        text = self._registry.schema(identifier)
        if text is None:
            return f"the schema registry knows no schema id {identifier}"
        parsed = fastavro.parse_schema(json.loads(text))
        canonical = fastavro.schema.to_parsing_canonical_form
        return None if canonical(parsed) == canonical(self._schema) else parsed
