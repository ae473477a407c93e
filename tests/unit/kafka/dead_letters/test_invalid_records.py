"""Every kind of invalid record is refused with its reason, alone and in a batch, and doesn't affect other records."""

import json
import time
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.errors import RecordError
from fraudstream.kafka.avro import writer_schemas
from fraudstream.kafka.avro.codec import arrow_schema
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.avro.valid_records import END_MS, FIRST_MS, RULES
from fraudstream.kafka.topic.definitions import SCHEMA_FILES
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kafka.avro_bytes import (
    NEW_ID,
    OLD_ID,
    OWN,
    TIMESTAMP,
    codec,
    example,
    header,
    integer,
    schema,
    text,
    value,
)

LONGEST = 2**63 - 1

INVALID = {
    "invalid UTF-8": (value(idTransaction=text(b"\xff\xfe")), "not Avro.*utf-8"),
    "invalid UTF-8 in another text": (value(nameDest=text(b"C\xc3")), "not Avro.*utf-8"),
    "a lone surrogate": (value(nameOrig=text(b"\xed\xa0\x80")), "not Avro.*utf-8"),
    "a NUL": (value(idTransaction=text(b"a\0b")), "column idTransaction"),
    "a line break": (value(nameOrig=text(b"C1\r\nBcc: x")), "column nameOrig"),
    "an empty id": (value(idTransaction=text(b"")), "column idTransaction"),
    "an empty name": (value(nameDest=text(b"")), "column nameDest"),
    "a huge text": (value(idTransaction=text(b"a" * 500_000)), "column idTransaction"),
    "2³¹ in an int": (value(isFraud=integer(2**31)), "not Avro"),
    "-2³¹-1 in an int": (value(isFraud=integer(-(2**31) - 1)), "not Avro"),
    "2⁴⁰ in an int": (value(step=b"\x02" + integer(2**40)), "not Avro"),
    "a flag of 7": (value(isFraud=integer(7)), "column isFraud"),
    "a negative step": (value(step=b"\x02" + integer(-1)), "column step"),
    "ten quadrillion": (value(amount=integer(10**18)), "column amount"),
    "minus ten quadrillion": (value(oldbalanceOrg=integer(-(10**18))), "column oldbalanceOrg"),
    "the largest long": (value(newbalanceDest=integer(LONGEST)), "column newbalanceDest"),
    "2⁶⁴ + 5 in a long": (value(amount=integer(2**64 + 5)), "not Avro"),
    "a long of eleven bytes": (value(amount=b"\x80" * 11 + b"\0"), "not Avro"),
    "a long with more bytes than it needs": (value(amount=b"\x80\x80\x00"), "not Avro"),
    "a time of 0": (value(timestamp=integer(0)), "column timestamp"),
    "a time of -1": (value(timestamp=integer(-1)), "column timestamp"),
    "a time in seconds": (value(timestamp=integer(TIMESTAMP // 1000)), "column timestamp"),
    "a time in microseconds": (value(timestamp=integer(TIMESTAMP * 1000)), "column timestamp|not Avro"),
    "a time in nanoseconds": (value(timestamp=integer(TIMESTAMP * 1_000_000)), "column timestamp|not Avro"),
    "year 10000": (value(timestamp=integer(253_402_300_800_000)), "column timestamp|not Avro"),
    "the last time": (value(timestamp=integer(LONGEST)), "column timestamp|not Avro"),
    "a byte behind the record": (value(end=b"\0"), "1 bytes behind the record"),
    "a record behind the record": (value(end=value()[5:]), "behind the record"),
    "half a record": (value()[:-4], "not Avro"),
    "an unknown enum symbol": (value(type=integer(5)), "not Avro"),
    "a negative enum symbol": (value(type=integer(-1)), "not Avro"),
    "a huge enum symbol": (value(type=integer(2**40)), "not Avro"),
    "an unknown branch of a union": (value(step=integer(2) + integer(5)), "not Avro"),
    "a negative branch of a union": (value(step=integer(-1) + integer(5)), "not Avro"),
    "a negative length": (value(idTransaction=text(b"abcde", -5)), "not Avro"),
    "a length of 2⁴⁰": (value(idTransaction=text(b"", 2**40)), "not Avro"),
    "a length of 2⁶³ - 1": (value(idTransaction=text(b"", LONGEST)), "not Avro"),
    "no value": (None, "no value"),
    "an empty value": (b"", "not the wire format: 0 bytes"),
    "half a header": (b"\0\0\0", "not the wire format: 3 bytes"),
    "another magic byte": (b"\x01" + value()[1:], "not the wire format: the first byte is 1"),
    "a header alone": (header(), "not Avro"),
    "an unknown schema id": (value(404), "unknown schema: .* 404"),
    "a schema id that no registry gives": (value(2**32 - 1), "unknown schema: .* 4294967295"),
}
N = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}
#: Schema, body of a record, reason.
NULLS = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}, {"name": "b", "type": "null"}]}
SIZE_0 = {"type": "fixed", "name": "F", "size": 0}
TRILLION = value()[5:] + integer(10**12) + b"\0"


def lists_of(items: object) -> RegisteredSchema:
    return RegisteredSchema(schema(more=({"name": "nothing", "type": {"type": "array", "items": items}},)))


FOREIGN = {
    "JSON Schema": (RegisteredSchema('{"type": "object", "properties": {}}', "JSON"), b"{}", "JSON"),
    "Protobuf": (RegisteredSchema('syntax = "proto3"; message P { string x = 1; }', "PROTOBUF"), b"\n\1a", "PROTOBUF"),
    "Avro with references": (RegisteredSchema(schema(), references=("Money",)), value()[5:], "Money"),
    "JSON Schema that calls itself Avro": (RegisteredSchema('{"type": "object"}'), b"{}", "unusable schema"),
    "no JSON": (RegisteredSchema("syntax"), b"", "unusable schema"),
    "an unknown type": (RegisteredSchema('"Money"'), b"", "unusable schema"),
    "a number": (RegisteredSchema("123"), b"", "unusable schema"),
    "null": (RegisteredSchema("null"), b"", "unusable schema"),
    "deeply nested JSON": (RegisteredSchema("[" * 100_000), b"", "unusable schema"),
    "a record without fields": (RegisteredSchema('{"type": "record", "name": "x"}'), b"", "unusable schema|not Avro"),
    "a text": (RegisteredSchema('"string"'), text(b"a"), "not Avro"),
    "a map": (RegisteredSchema('{"type": "map", "values": "long"}'), b"\0", "not Avro"),
    "a record of another kind": (RegisteredSchema(json.dumps(OWN | {"name": "N"})), value()[5:], "not Avro"),
    "another type of a field": (RegisteredSchema(schema(change={"amount": "string"})), value()[5:], "not Avro"),
    "a record in a record in a record …": (
        RegisteredSchema(schema(more=({"name": "nested", "type": N},))),
        value()[5:] + b"\x02" * 900_000 + b"\0",
        "unusable schema: .* fraudstream.N contains itself",
    ),
    "a trillion items of no byte": (lists_of("null"), TRILLION, "unusable schema: .* no byte"),
    "a trillion values of size 0": (lists_of(SIZE_0), TRILLION, r"unusable schema: .*\.F takes no byte"),
    "a trillion records of nulls": (lists_of(NULLS), TRILLION, r"unusable schema: .*\.R takes no byte"),
}


@pytest.mark.parametrize("kind", INVALID)
def test_an_invalid_record_is_refused_alone_and_among_valid_ones(kind):
    broken, reason = INVALID[kind]
    with pytest.raises(RecordError, match=reason):
        codec().decode(broken)
    good = codec().encode(example())
    for values, places in (([broken], [0]), ([good, broken, good, broken], [1, 3]), ([broken] * 3, [0, 1, 2])):
        rows, bad = codec().decode_rows(pa.array(values, pa.binary()))
        assert [record.index for record in bad] == places
        assert rows.to_pylist() == rows_of(good) * (len(values) - len(places))
        with pytest.raises(RecordError) as error:
            codec().decode(broken)
        assert {record.reason for record in bad} == {str(error.value)}, "alone and in a batch the reason is the same"


@given(st.integers(1, 400), st.sets(st.integers(0, 399), max_size=6), st.booleans())
def test_few_invalid_records_of_a_large_batch_are_found_at_their_places(size, places, untimely):
    good, broken = value(), value(nameDest=text(b"\xff"))
    wrong = {place for place in places if place < size}
    values = [broken if place in wrong and not untimely else good for place in range(size)]
    timestamps = np.array([0 if place in wrong and untimely else TIMESTAMP for place in range(size)])
    rows, bad = codec().decode_rows(pa.array(values, pa.binary()), timestamps)
    assert [record.index for record in bad] == sorted(wrong)
    assert rows.to_pylist() == rows_of(good) * (size - len(wrong))


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_record_of_a_foreign_schema_is_refused_alone_and_among_valid_ones(kind):
    foreign, body, reason = FOREIGN[kind]
    reading = codec(id20=foreign)
    with pytest.raises(RecordError, match=reason):
        reading.decode(header(20) + body)
    good = reading.encode(example())
    rows, bad = reading.decode_rows(pa.array([good, header(20) + body, good], pa.binary()))
    assert [record.index for record in bad] == [1]
    assert rows.to_pylist() == rows_of(good) * 2


@pytest.mark.parametrize("identifier", [OLD_ID, NEW_ID])
@pytest.mark.parametrize(
    "fields",
    [
        {"idTransaction": text(b"\xff")},
        {"idTransaction": text(b"")},
        {"isFraud": integer(2**31)},
        {"amount": integer(2**64 + 5)},
        {"amount": integer(10**18)},
        {"type": integer(-1)},
        {"timestamp": integer(-1)},
        {"nameDest": text(b"", -1)},
    ],
)
def test_an_older_and_a_newer_schema_excuse_nothing(identifier, fields):
    step, end = (b"", b"") if identifier == OLD_ID else (b"\x02\x0a", text(b"branch"))
    assert codec().decode(value(identifier, end, step=step))["idTransaction"] == "a-1"
    with pytest.raises(RecordError):
        codec().decode(value(identifier, end, **({"step": step} | fields)))
    with pytest.raises(RecordError, match="behind the record"):
        codec().decode(value(identifier, end + b"x", step=step))


@pytest.mark.parametrize(
    ("kind", "factor"),
    [({"type": "long", "logicalType": "timestamp-micros"}, 1000), ("long", 1)],
)
def test_times_of_other_units_are_the_same_times(kind, factor):
    reading = codec(id20=RegisteredSchema(schema(change={"timestamp": kind})))
    other = value(20, timestamp=integer(TIMESTAMP * factor))
    assert reading.decode(other) == reading.decode(value())
    rows, bad = reading.decode_rows(pa.array([other, value()], pa.binary()))
    assert (bad, rows["timestamp"].cast(pa.int64()).to_pylist()) == ([], [TIMESTAMP] * 2)


def test_a_time_that_milliseconds_dont_hold_is_not_rounded():
    reading = codec(
        id20=RegisteredSchema(schema(change={"timestamp": {"type": "long", "logicalType": "timestamp-micros"}}))
    )
    with pytest.raises(RecordError, match="column timestamp"):
        reading.decode(value(20, timestamp=integer(TIMESTAMP * 1000 + 1)))


@pytest.mark.parametrize(
    "timestamp",
    [-1, 0, TIMESTAMP // 1000, TIMESTAMP * 1000, TIMESTAMP * 1_000_000, 253_402_300_800_000, FIRST_MS - 1, END_MS],
)
def test_a_record_timestamp_that_is_no_day_of_the_lake_is_refused(timestamp):
    with pytest.raises(RecordError, match=f"record timestamp: found {timestamp}"):
        codec().decode(value(), timestamp)
    good = [FIRST_MS, TIMESTAMP, END_MS - 1]
    rows, bad = codec().decode_rows(pa.array([value()] * 4, pa.binary()), np.array([*good, timestamp]))
    assert ([record.index for record in bad], len(rows)) == ([3], 3)
    assert codec().decode_rows(pa.array([value()] * 3, pa.binary()), np.array(good))[1] == []


def test_an_unknown_schema_is_asked_for_again_after_a_while_and_a_known_one_isnt(monkeypatch):
    reading = codec()

    def read_both() -> None:
        for _ in range(2):
            with pytest.raises(RecordError):
                reading.decode(value(404))
            reading.decode(value(OLD_ID, step=b""))

    read_both()
    assert reading._registry.asked == [404, OLD_ID]
    monkeypatch.setattr(writer_schemas.time, "monotonic", lambda: time.perf_counter() + 1e9)
    read_both()
    assert reading._registry.asked == [404, OLD_ID, 404]


def test_schema_ids_by_the_thousand_dont_fill_the_memory():
    reading = codec()
    values = pa.array([header(10_000 + number) for number in range(20_000)], pa.binary())
    tracemalloc.start()
    _, bad = reading.decode_rows(values)
    del bad
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 5_000_000


@given(st.binary(max_size=120), st.integers(0, 200), st.integers(0, 5))
def test_whatever_lies_behind_a_valid_header_both_ways_say_the_same(noise, place, cut):
    good = value()
    mutated = good[:place] + noise + good[place + cut :]
    for candidate in (header() + noise, mutated):
        alone: object
        try:
            alone = codec().decode(candidate, TIMESTAMP)
        except RecordError as error:
            alone = str(error)
        rows, bad = codec().decode_rows(pa.array([good, candidate], pa.binary()), np.array([TIMESTAMP] * 2))
        rows.validate(full=True)
        if isinstance(alone, str):
            assert [(record.index, record.reason) for record in bad] == [(1, alone)]
        else:
            assert bad == []
            assert rows.slice(1).to_pylist()[0]["amount"] == alone["amount"]


def test_every_text_and_time_of_every_topic_and_all_money_has_a_rule():
    for topic, file in SCHEMA_FILES.items():
        rules = RULES[file]
        fields = [field for field in arrow_schema(topic) if field.name not in {"type", "status"}]
        needed = {f.name for f in fields if pa.types.is_string(f.type) or pa.types.is_timestamp(f.type)}
        assert {rule.column for rule in rules} >= needed
    assert {rule.column for rule in RULES["transaction.avsc"]} == {field["name"] for field in OWN["fields"]} - {"type"}


@pytest.mark.parametrize(
    ("details", "valid"),
    [
        ('{"share": 0.5, "cause": "no_answer"}', True),
        ('{"a": ' * 20 + "1" + "}" * 20, False),
        ('{"a": ' * 19 + "1" + "}" * 19, True),
        ('{"a": ' + "[" * 900 + "]" * 900 + "}", False),
        ('{"assignee": "\\ud800"}', False),
        ('{"\\udfff": 1}', False),
        ('{"assignee": "\\ud83d\\ude00"}', True),
        ('{"share": NaN}', False),
        ('{"share": -Infinity}', False),
        ('{"share": 1e999}', False),
        ("[]", False),
        ("1", False),
    ],
)
def test_details_of_an_event_are_a_json_object_that_all_readers_can_read(details: str, valid: bool) -> None:
    (rule,) = [rule for rule in RULES["case_event.avsc"] if rule.column == "details"]
    assert rule.holds(pa.array([details])).to_pylist() == [valid]


def rows_of(good: bytes) -> list[dict[str, object]]:
    rows, _ = codec().decode_rows(pa.array([good], pa.binary()))
    return rows.to_pylist()  # type: ignore[no-any-return]
