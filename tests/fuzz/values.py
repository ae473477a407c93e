"""Makes values for topics: valid, mutated, arbitrary bytes after a valid header, and records of foreign schemas."""

import json
import random
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fraudstream.kafka.avro.codec import schema_text
from fraudstream.kafka.topic.definitions import SCHEMA_FILES

#: Foreign schemas by name: text and kind.
FOREIGN: Mapping[str, tuple[str, str]] = {
    "json": ('{"type": "object", "properties": {"amount": {"type": "number"}}}', "JSON"),
    "protobuf": ('syntax = "proto3"; message P { string x = 1; }', "PROTOBUF"),
    "text": ('"string"', "AVRO"),
    "recursive": (
        '{"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}',
        "AVRO",
    ),
    "endless": (
        '{"type": "record", "name": "E", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}',
        "AVRO",
    ),
    "other": ('{"type": "record", "name": "O", "fields": [{"name": "idTransaction", "type": "bytes"}]}', "AVRO"),
}
_BODIES: Mapping[str, Callable[[random.Random], bytes]] = {
    "json": lambda rng: json.dumps({"amount": rng.random()}).encode(),
    "protobuf": lambda rng: b"\n\x03" + rng.randbytes(3),
    "text": lambda rng: bytes([8]) + rng.randbytes(4),
    "recursive": lambda rng: b"\x02" * rng.choice([3, 100_000]) + b"\0",
    "endless": lambda rng: b"\xfe\xff\xff\xff\xff\xff\x1f\0",
    "other": lambda rng: bytes([8]) + rng.randbytes(4),
    "referring": lambda rng: bytes([rng.randrange(128)]),
}
#: Values of certain fields in records other than transactions.
_CONTENTS: dict[str, list[Any]] = {
    "isFraud": [0, 1],
    "isFlaggedFraud": [0, 1],
    "details": [
        "{}",
        '{"kind": "notice"}',
        '{"kind": "fraud_notice", "messageId": 7}',
        '{"share": null, "cause": [1], "assignee": {"a": "b"}, "request": 5, "outcome": false}',
        '{"share": "half", "cause": null, "assignee": 1e308, "request": "\\u0000", "outcome": []}',
    ],
    "eventType": [
        *("REMINDED", "ESCALATED", "ALERTED", "ASSIGNED", "NOTE", "MAIL_BOUNCED", "MAIL_RESENT", "NOTICE_ACCEPTED"),
        *("DECISION_REQUESTED", "DECISION_CONFIRMED", "ANOTHER"),
    ],
    "channel": [None, "LINK", "TIMEOUT", "STAFF", "名"],
    "kind": ["notice", "fraud_notice", "receipt"],
    "topic": ["fraud_transaction", "non_fraud_transaction", "fraud_confirmation"],
    "value": ["", "AAAA"],
}


class Value(NamedTuple):
    """A value and its Kafka timestamp; `valid` is None if only the codec can tell."""

    content: bytes | None
    timestamp: int
    valid: bool | None
    kind: str


class Values:
    """Makes the values of a topic; each valid value has its own id.

    :param encode: encodes a record to a valid value
    :param foreign: schema id of each registered schema of :data:`FOREIGN`
    """

    def __init__(
        self,
        topic: str,
        encode: Callable[[dict[str, Any]], bytes],
        foreign: Mapping[str, int],
        *,
        prefix: str,
        seed: int,
        now: int,
    ) -> None:
        self._encode = encode
        self._foreign = foreign
        self._prefix = prefix
        self._random = random.Random(f"{seed}-{topic}")  # noqa: S311  no secret
        self._now = now
        self._made = 0
        self._fields = json.loads(schema_text(topic))["fields"]
        assert topic in SCHEMA_FILES

    def next(self) -> Value:
        """The next value; about half of the values are valid."""
        rng = self._random
        self._made += 1
        good = self._encode(self._record())
        make = rng.choice(
            [self._valid] * 4
            + [self._mutated] * 2
            + [self._behind_header, self._foreign_schema, self._bytes, self._untimely]
        )
        return make(rng, good)

    def _valid(self, rng: random.Random, good: bytes) -> Value:
        return Value(good, self._now, True, "valid")

    def _mutated(self, rng: random.Random, good: bytes) -> Value:
        content = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(content)) if content else 0
            what = rng.randrange(4)
            if what == 0 and content:
                content[place] ^= 1 << rng.randrange(8)
            elif what == 1:
                content[place:place] = rng.randbytes(rng.randrange(1, 12))
            elif what == 2:
                del content[place : place + rng.randrange(1, 12)]
            else:
                content += rng.randbytes(rng.randrange(1, 4))
        return Value(bytes(content), self._now, None, "mutated")

    def _behind_header(self, rng: random.Random, good: bytes) -> Value:
        return Value(good[:5] + rng.randbytes(rng.randrange(120)), self._now, None, "bytes behind a header")

    def _foreign_schema(self, rng: random.Random, good: bytes) -> Value:
        name = rng.choice(sorted(self._foreign))
        content = struct.pack(">BI", 0, self._foreign[name]) + _BODIES[name](rng)
        return Value(content, self._now, False, f"schema {name}")

    def _bytes(self, rng: random.Random, good: bytes) -> Value:
        unknown = struct.pack(">BI", 0, 2_000_000_000 + rng.randrange(3)) + good[5:]
        return Value(rng.choice([None, b"", rng.randbytes(40), b"\x07" + good, unknown]), self._now, False, "bytes")

    def _untimely(self, rng: random.Random, good: bytes) -> Value:
        return Value(good, rng.choice([1, self._now // 1000]), False, "untimely")

    def _record(self) -> dict[str, Any]:
        return {field["name"]: self._content(field) for field in self._fields}

    def _nullable(self, kind: Any) -> Any:
        if isinstance(kind, dict):
            return self._now - self._random.randrange(10**9)
        return self._random.randrange(700) if kind == "int" else "C1***@example.com"

    def _content(self, field: dict[str, Any]) -> Any:
        rng, kind = self._random, field["type"]
        if field["name"] == "idTransaction":
            return f"{self._prefix}-{self._made:09d}"
        if field["name"] in _CONTENTS:
            return rng.choice(_CONTENTS[field["name"]])
        if isinstance(kind, list):
            return rng.choice([None, self._nullable(next(one for one in kind if one != "null"))])
        if isinstance(kind, dict):
            return rng.choice(kind["symbols"]) if kind["type"] == "enum" else self._now - rng.randrange(10**9)
        if kind == "string":
            return rng.choice(["C", "M", "Ž", "名"]) + str(rng.randrange(10**9))
        return rng.randrange(10**7) if kind in {"int", "long"} else False
