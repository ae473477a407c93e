"""Values of fraud_transaction made byte by byte, including values that no encoder writes."""

import json
import struct
from typing import Any, ClassVar

from fraudstream.kafka.avro.codec import Codec, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.records import FRAUD_TRANSACTION

OWN_ID, OLD_ID, NEW_ID = 7, 3, 9
OWN = json.loads(schema_text(FRAUD_TRANSACTION))
#: A time in 2023.
TIMESTAMP = 1_696_118_400_000


def schema(*, without: str = "", change: dict[str, object] | None = None, more: tuple[object, ...] = ()) -> str:
    """The topic's schema without a field, with other types of some fields, or with more fields."""
    fields = [
        field | ({"type": change[field["name"]]} if change and field["name"] in change else {})
        for field in OWN["fields"]
        if field["name"] != without
    ]
    return json.dumps(OWN | {"fields": fields + list(more)})


class FakeRegistry:
    """A registry with the topic's own schema, an older one without `step`, and a newer one with another field."""

    schemas: ClassVar[dict[int, RegisteredSchema]] = {
        OWN_ID: RegisteredSchema(schema_text(FRAUD_TRANSACTION)),
        OLD_ID: RegisteredSchema(schema(without="step")),
        NEW_ID: RegisteredSchema(schema(more=({"name": "channel", "type": "string"},))),
    }

    def __init__(self, **more: RegisteredSchema) -> None:
        self._more = {int(name.removeprefix("id")): found for name, found in more.items()}
        self.asked: list[int] = []

    def identifier(self, topic: str, schema: str) -> int:
        return OWN_ID

    def schema(self, identifier: int, topic: str) -> RegisteredSchema | None:
        self.asked.append(identifier)
        return (self.schemas | self._more).get(identifier)


def codec(**more: RegisteredSchema) -> Codec:
    return Codec(FRAUD_TRANSACTION, FakeRegistry(**more))  # type: ignore[arg-type]


def example(**changes: Any) -> dict[str, Any]:
    return {
        "idTransaction": "a-1",
        "timestamp": TIMESTAMP,
        "step": 5,
        "type": "TRANSFER",
        "amount": 983_964,
        "nameOrig": "C1",
        "oldbalanceOrg": 983_964,
        "newbalanceOrig": 0,
        "nameDest": "C2",
        "oldbalanceDest": 0,
        "newbalanceDest": 0,
        "isFraud": 1,
        "isFlaggedFraud": 0,
    } | changes


def header(identifier: int = OWN_ID) -> bytes:
    return struct.pack(">bI", 0, identifier)


def integer(number: int) -> bytes:
    """A zigzag varint, which may have more than 64 bits."""
    rest = (number << 1) ^ (number >> 80)
    out = b""
    while rest > 0x7F:
        out += bytes([rest & 0x7F | 0x80])
        rest >>= 7
    return out + bytes([rest])


def text(content: bytes, length: int | None = None) -> bytes:
    """A string: its length, which may be wrong, and its bytes."""
    return integer(len(content) if length is None else length) + content


def value(identifier: int = OWN_ID, end: bytes = b"", **fields: bytes) -> bytes:
    """:func:`example` in the wire format, with these bytes instead of some fields."""
    record = example()
    encoded = {name: text(content.encode()) for name, content in record.items() if isinstance(content, str)}
    encoded |= {name: integer(content) for name, content in record.items() if isinstance(content, int)}
    encoded |= {"step": b"\x02" + integer(5), "type": integer(4)} | fields
    return header(identifier) + b"".join(encoded[name] for name in record) + end
