"""Avro in the wire format: batches and single records give the same bytes, and are decoded to the same records."""

import io
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import fastavro
import pyarrow as pa
import pytest
from fraudstream.errors import RecordError
from fraudstream.kafka.avro import writer_schemas
from fraudstream.kafka.avro.codec import Codec, InvalidRecord, arrow_schema, schema_text
from fraudstream.kafka.avro.registry import RegisteredSchema
from fraudstream.kafka.avro.valid_records import END_MS, FIRST_MS
from fraudstream.kafka.avro.writer_schemas import UNKNOWN_SECONDS_OF_SENDER
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.kafka.avro_bytes import NEW_ID, OLD_ID, OWN_ID, FakeRegistry, codec, example, header
from tests.unit.kafka.avro_bytes import value as wire_format


def decode_rows(values: Sequence[bytes | None]) -> tuple[pa.RecordBatch, list[InvalidRecord]]:
    return codec().decode_rows(pa.array(values, pa.binary()))


money = st.integers(0, 10**17)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
records = st.fixed_dictionaries(
    {
        "idTransaction": names,
        "timestamp": st.integers(FIRST_MS, END_MS - 1),
        "step": st.none() | st.integers(0, 2**31 - 1),
        "type": st.sampled_from(["CASH_IN", "CASH_OUT", "DEBIT", "PAYMENT", "TRANSFER"]),
        "amount": money,
        "nameOrig": names,
        "oldbalanceOrg": money,
        "newbalanceOrig": money,
        "nameDest": names,
        "oldbalanceDest": money,
        "newbalanceDest": money,
        "isFraud": st.integers(0, 1),
        "isFlaggedFraud": st.integers(0, 1),
    }
)


def rows_of(found: list[dict[str, object]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(found, schema=arrow_schema(FRAUD_TRANSACTION))


@given(st.lists(records, min_size=1, max_size=5))
def test_a_batch_has_the_bytes_of_its_records_and_both_read_both(found):
    one_by_one = [codec().encode(record) for record in found]
    assert codec().encode_rows(rows_of(found)).to_pylist() == one_by_one
    rows, bad = decode_rows(one_by_one)
    assert bad == []
    assert rows.equals(rows_of(found))
    for value, record in zip(one_by_one, found, strict=True):
        decoded = codec().decode(value)
        assert decoded.pop("timestamp") == datetime.fromtimestamp(record["timestamp"] / 1000, UTC)
        assert decoded == {name: value for name, value in record.items() if name != "timestamp"}


def test_a_value_is_the_confluent_wire_format():
    record = example()
    value = codec().encode(record)
    assert value[:5] == struct.pack(">bI", 0, OWN_ID)
    schema = fastavro.parse_schema(json.loads(schema_text(FRAUD_TRANSACTION)))
    assert fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, schema)["amount"] == record["amount"]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), min_size=1, max_size=8))
def test_broken_values_are_named_by_their_place_and_the_others_are_read(mixed):
    good = codec().encode(example())
    values = [good if is_good else garbage for is_good, garbage in mixed]
    rows, bad = decode_rows(values)
    assert len(rows) + len(bad) == len(values)
    assert {record.index for record in bad} <= {index for index, (is_good, _) in enumerate(mixed) if not is_good}
    assert rows.column("idTransaction").to_pylist().count(example()["idTransaction"]) >= sum(g for g, _ in mixed)


def test_values_of_older_and_newer_schemas_are_read_as_the_topics_own():
    values = []
    for identifier, extra in ((OLD_ID, {}), (NEW_ID, {"channel": "branch"})):
        schema = fastavro.parse_schema(json.loads(FakeRegistry.schemas[identifier].text))
        body = io.BytesIO()
        fastavro.schemaless_writer(body, schema, example() | extra)
        values.append(struct.pack(">bI", 0, identifier) + body.getvalue())
    rows, bad = decode_rows([codec().encode(example()), *values])
    assert bad == []
    assert rows.column("step").to_pylist() == [5, None, 5]


def test_a_record_that_doesnt_fit_is_refused():
    with pytest.raises(RecordError, match=FRAUD_TRANSACTION):
        codec().encode({"idTransaction": "a"})


def test_rows_that_dont_fit_are_refused():
    with pytest.raises(RecordError, match=f"rows don't fit the schema of topic {FRAUD_TRANSACTION}"):
        codec().encode_rows(rows_of([example()]).drop_columns("amount"))


def test_values_of_another_schema_are_told_from_those_of_the_topics_own():
    own = wire_format()
    rubbish = [None, b"", b"\x00\x00", b"\x01" + own[1:], wire_format(404)]
    values = [own, wire_format(OLD_ID), *rubbish, own, wire_format(NEW_ID)]
    assert codec().foreign(pa.array(values, pa.binary())) == [1, 8]
    assert codec().foreign(pa.array([own, own], pa.binary())) == []


def test_no_values_give_no_rows():
    rows, bad = decode_rows([])
    assert (len(rows), bad) == (0, [])
    assert rows.schema.equals(arrow_schema(FRAUD_TRANSACTION))


def test_money_is_whole_minor_units_in_every_schema():
    for topic in (FRAUD_TRANSACTION, FRAUD_CONFIRMATION):
        for name in ("amount", "oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest"):
            assert arrow_schema(topic).field(name).type == pa.int64()


def test_the_sender_of_dead_letters_asks_for_an_unknown_schema_again_after_a_second(monkeypatch):
    registry = FakeRegistry()
    sender, other = (Codec(FRAUD_TRANSACTION, registry, *seconds) for seconds in ((UNKNOWN_SECONDS_OF_SENDER,), ()))
    record = header(20) + sender.encode(example())[5:]
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(writer_schemas, "time", SimpleNamespace(monotonic=lambda: clock.now))
    for each in (sender, other):
        with pytest.raises(RecordError, match="unknown schema"):
            each.decode(record)
    registry._more[20] = RegisteredSchema(schema_text(FRAUD_TRANSACTION))
    clock.now += 0.9
    with pytest.raises(RecordError, match="unknown schema"):
        sender.decode(record)
    clock.now += 0.2
    assert sender.decode(record)["idTransaction"] == example()["idTransaction"]
    with pytest.raises(RecordError, match="unknown schema"):
        other.decode(record)
    assert registry.asked == [20, 20, 20]
