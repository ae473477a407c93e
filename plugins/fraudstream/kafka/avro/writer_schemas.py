"""The schemas that a topic's values were written with, by their ids, and which of them can't be used and why.

Any client may have registered a schema. If a schema contains itself, or has lists of items that take no byte, a value
can make fastavro crash the process or fill its memory. So values with such schemas aren't read.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastavro

from fraudstream.errors import RecordError
from fraudstream.kafka.avro.registry import Registry

#: Seconds for which an id that the registry doesn't know isn't looked up again.
UNKNOWN_SECONDS = 30.0
#: The same for the group that sends dead letters. While it takes a schema for unknown that the registry has meanwhile,
#: another group may process a record of it, which then becomes a dead letter as well.
UNKNOWN_SECONDS_OF_SENDER = 1.0
#: Maximum number of such ids.
_UNKNOWN_IDS = 1_000
#: Schema ids are positive ints of Java.
_LAST_ID = 2**31 - 1
#: Keys of a schema that don't affect the bytes of a value.
_REMARKS = {"doc", "default", "aliases", "order", "__fastavro_parsed", "__named_schemas"}


@dataclass(frozen=True)
class WriterSchema:
    """A schema of the registry: `parsed` for reading values, `plain` the same without logical types.

    `own`: it encodes values to the same bytes as the topic's own schema.
    """

    parsed: Any
    plain: Any
    own: bool


class UnknownSchema(RecordError):
    """The registry has no schema with the record's id. This may change later."""


class WriterSchemas:
    """The schemas of one topic's values, by id. They are looked up in the registry and cached.

    :param unknown_seconds: seconds for which an id that the registry doesn't know isn't looked up again
    """

    def __init__(self, topic: str, schema: Any, registry: Registry, unknown_seconds: float = UNKNOWN_SECONDS) -> None:
        self._topic = topic
        self._layout = _without(_REMARKS, schema)
        self._registry = registry
        self._known: dict[int, WriterSchema | str] = {}
        self._unknown: dict[int, float] = {}
        self._unknown_seconds = unknown_seconds

    def __getitem__(self, identifier: int) -> WriterSchema:
        """The schema with this id.

        :raises UnknownSchema: the registry has none
        :raises RecordError: the schema can't be used to read values of the topic
        :raises SchemaRegistryError: the registry doesn't answer
        """
        found = self._known.get(identifier)
        if found is None:
            found = self._known[identifier] = self._look_up(identifier)
        if isinstance(found, str):
            raise RecordError(found)
        return found

    def _look_up(self, identifier: int) -> WriterSchema | str:
        unknown = f"unknown schema: the schema registry has no schema id {identifier}"
        if not 0 < identifier <= _LAST_ID:
            return unknown
        if self._unknown.get(identifier, 0.0) > time.monotonic():
            raise UnknownSchema(unknown)
        registered = self._registry.schema(identifier, self._topic)
        if registered is None:
            if len(self._unknown) >= _UNKNOWN_IDS:
                self._unknown.clear()
            self._unknown[identifier] = time.monotonic() + self._unknown_seconds
            raise UnknownSchema(unknown)
        if registered.kind != "AVRO":
            return f"unusable schema: schema id {identifier} is {registered.kind}, expected AVRO"
        if registered.references:
            return (
                f"unusable schema: schema id {identifier} refers to other schemas, expected one that is complete: "
                f"{', '.join(registered.references)}"
            )
        try:
            return self._parsed(identifier, json.loads(registered.text))
        except Exception as error:  # noqa: BLE001  # the schema can be anything, and so can the error
            return f"unusable schema: schema id {identifier} is not an Avro schema: {type(error).__name__} {error}"[
                :500
            ]

    def _parsed(self, identifier: int, schema: Any) -> WriterSchema | str:
        parsed = fastavro.parse_schema(schema)
        for danger in _dangers(parsed):
            return f"unusable schema: schema id {identifier} isn't read, since {danger}"
        plain = fastavro.parse_schema(_without({"logicalType"}, schema))
        return WriterSchema(parsed, plain, _without(_REMARKS, parsed) == self._layout)


def _without(keys: set[str], schema: Any) -> Any:
    """The schema without these keys of its types and fields."""
    if isinstance(schema, dict):
        return {key: _without(keys, part) for key, part in schema.items() if key not in keys}
    return [_without(keys, part) for part in schema] if isinstance(schema, list) else schema


def _dangers(schema: Any, inside: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields reasons why a small value of this parsed schema could take unlimited memory or stack to read."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _dangers(branch, inside)
    elif isinstance(schema, str):
        if schema in inside:
            yield f"its type {schema} contains itself"
    elif schema["type"] in {"record", "error"}:
        if all(_is_null(field["type"]) for field in schema["fields"]):
            yield f"its type {schema['name']} takes no byte"
        for field in schema["fields"]:
            yield from _dangers(field["type"], (*inside, schema["name"]))
    elif schema["type"] == "fixed" and schema["size"] == 0:
        yield f"its type {schema['name']} takes no byte"
    elif schema["type"] == "array" and _is_null(schema["items"]):
        yield "the items of a list in it take no byte"
    else:
        yield from _dangers(schema.get("items", schema.get("values", schema["type"])), inside)


def _is_null(schema: Any) -> bool:
    return schema == "null" or (isinstance(schema, dict) and _is_null(schema["type"]))
