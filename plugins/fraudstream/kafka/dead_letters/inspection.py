"""Shows one dead letter: its fields, and its value decoded as far as that is possible."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import fastavro

from fraudstream.errors import KafkaError
from fraudstream.kafka.avro.codec import HEADER, schema_text
from fraudstream.kafka.avro.registry import Registry
from fraudstream.kafka.avro.writer_schemas import WriterSchemas
from fraudstream.kafka.dead_letters.letters import DeadLetter
from fraudstream.settings import Settings

#: Maximum number of bytes that are shown of content that isn't text.
_SHOWN_BYTES = 64


def inspect(settings: Settings, letter: DeadLetter) -> dict[str, Any]:
    """The fields of a letter and its decoded value, ready for JSON."""
    return {
        "topic": letter.partition.topic,
        "partition": letter.partition.number,
        "offset": letter.offset,
        "reason": letter.reason,
        "timestamp": moment(letter.timestamp),
        "written": moment(letter.written_at),
        "redriven": moment(letter.redriven_at),
        "cut": letter.cut or None,
        "key": text_of(letter.key),
        "headers": {name: text_of(value) for name, value in letter.headers},
        "value": _decoded(settings, letter),
    }


def moment(milliseconds: int | None) -> str | int | None:
    """A time (ms since 1970) in ISO 8601; the number itself if it is outside the calendar's range."""
    if milliseconds is None:
        return None
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return milliseconds


def text_of(content: bytes | None) -> str | None:
    """The bytes as text if they are printable UTF-8, else in hexadecimal digits."""
    if content is None:
        return None
    text = content.decode(errors="replace")
    if text.isprintable() and "\ufffd" not in text:
        return text
    more = "" if len(content) <= _SHOWN_BYTES else f"… ({len(content)} bytes)"
    return f"0x{content[:_SHOWN_BYTES].hex()}{more}"


def _decoded(settings: Settings, letter: DeadLetter) -> dict[str, Any]:
    """The schema id, the fields before the first one that can't be read, the problem there, and the remaining bytes."""
    value = letter.value
    if value is None or len(value) < HEADER.size or value[0] != 0:
        return {"bytes": text_of(value)}
    identifier = HEADER.unpack_from(value)[1]
    topic = letter.partition.topic
    own = fastavro.parse_schema(json.loads(schema_text(topic)))
    found: dict[str, Any] = {"schema id": identifier}
    try:
        schema = WriterSchemas(topic, own, Registry(settings))[identifier].plain
    except KafkaError as error:
        return found | {"problem": str(error), "bytes": text_of(value[HEADER.size :])}
    fields, problem, read = _fields(schema, value[HEADER.size :])
    return found | {"fields": fields, "problem": problem, "bytes": text_of(value[HEADER.size + read :])}


def _fields(schema: Any, body: bytes) -> tuple[dict[str, Any], str | None, int]:
    """Returns the fields before the first one that can't be read, why it can't, and the number of bytes read."""
    fields: dict[str, Any] = {}
    read = 0
    if not isinstance(schema, dict) or schema["type"] != "record":
        return fields, "the schema is not a record", read
    for count, last in enumerate(schema["fields"], start=1):
        stream = io.BytesIO(body)
        try:
            # Later fields may name the types of earlier ones, so a part of a record is read from its beginning.
            part = fastavro.parse_schema({"type": "record", "name": "Part", "fields": schema["fields"][:count]})
            fields = {name: _shown(content) for name, content in fastavro.schemaless_reader(stream, part).items()}
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # the bytes can be anything, and so can the error
            return fields, f"field {last['name']}: {type(error).__name__} {error}", read
        read = stream.tell()
    return fields, None, read


def _shown(content: Any) -> Any:
    if isinstance(content, bytes):
        return text_of(content)
    return content if isinstance(content, int | float | bool | str | None) else str(content)
