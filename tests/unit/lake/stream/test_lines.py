import json
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from fraudstream import money
from fraudstream.kafka.records import FRAUD_CONFIRMATION, Batch, Partition
from fraudstream.lake.stream import lines
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.lake.rows import MIDNIGHT_MS, answer, batch, row

amounts = st.integers(-(10**18) + 1, 10**18 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
moments = st.integers(0, 253_402_300_799_999)


def parsed(body):
    text = bytes(body).decode()
    assert text == "" or text.endswith("\n")
    return [json.loads(line, parse_float=Decimal) for line in text.split("\n")[:-1]]


def iso(timestamp_ms):
    moment = datetime.fromtimestamp(timestamp_ms // 1000, UTC).replace(microsecond=timestamp_ms % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@settings(deadline=None)
@given(st.lists(st.tuples(texts, amounts, moments, st.none() | st.integers(0, 743)), max_size=8))
def test_every_value_comes_back_from_the_line_as_it_was(values):
    rows = [row(0, nameOrig=n, nameDest=n[::-1], amount=a, timestamp=t, step=s) for n, a, t, s in values]
    body = lines.transaction(batch(range(100, 100 + len(rows)), rows=rows))
    expected = [(n, n[::-1], money.to_text(a), iso(t), s, 100 + i) for i, (n, a, t, s) in enumerate(values)]
    assert [
        (line["nameOrig"], line["nameDest"], str(line["amount"]), line["timestamp"], line["step"], line["offset"])
        for line in parsed(body)
    ] == expected


def test_a_slice_of_a_batch_gives_the_lines_of_the_slice():
    rows = [row(i, nameOrig=name) for i, name in enumerate(['"', "plain", "back\\slash", "plain too"])]
    whole = batch(range(4), rows=rows)
    tail = bytes(lines.transaction(whole.since(2)))
    assert bytes(lines.transaction(whole)).endswith(tail)
    assert [line["nameOrig"] for line in parsed(tail)] == ["back\\slash", "plain too"]


def test_a_line_says_where_its_record_lies_and_when_it_was_written():
    made = batch([41, 43], timestamps=[MIDNIGHT_MS, MIDNIGHT_MS + 1], partition=Partition("some.topic", 5))
    assert [
        (line["topic"], line["partition"], line["offset"], line["recordTimestamp"])
        for line in parsed(lines.transaction(made))
    ] == [
        ("some.topic", 5, 41, "2023-10-07T00:00:00.000Z"),
        ("some.topic", 5, 43, "2023-10-07T00:00:00.001Z"),
    ]


@pytest.mark.parametrize(
    ("field", "values", "written"),
    [
        (pa.field("channel", pa.string()), ["app", None, 'a "b"'], ["app", None, 'a "b"']),
        (pa.field("channel", pa.string()), ["app", None, ""], ["app", None, ""]),
        (
            pa.field("seenAt", pa.timestamp("ms")),
            [datetime(2023, 10, 7), None, datetime(2023, 10, 8)],  # noqa: DTZ001  as decoded rows have it
            ["2023-10-07T00:00:00.000Z", None, "2023-10-08T00:00:00.000Z"],
        ),
        (pa.field("oldbalanceDest", pa.int64()), [5, None, -100], [Decimal("0.05"), None, Decimal("-1.00")]),
        (pa.field("score", pa.float64()), [0.1, None, 1e300], [0.1, None, 1e300]),
        (pa.field("score", pa.float64()), [float("nan"), float("inf"), 2.0], [None, None, 2.0]),
        (pa.field("trusted", pa.bool_()), [True, None, False], [True, None, False]),
        (pa.field("count", pa.int32()), [1, None, -3], [1, None, -3]),
        (pa.field("channel", pa.string()), [None, None, None], [None, None, None]),
    ],
)
def test_a_column_with_nulls_is_null_where_it_has_none_and_no_line_is_lost(field, values, written):
    whole = batch([1, 2, 3])
    place = whole.rows.schema.get_field_index(field.name)
    rows = whole.rows if place < 0 else whole.rows.drop_columns([field.name])
    rows = rows.append_column(field, pa.array(values, field.type))
    made = Batch(whole.partition, whole.offsets, whole.timestamps, rows, 4)
    found = [line[field.name] for line in parsed(lines.transaction(made))]
    assert [
        float(value) if isinstance(written[0], float) and value is not None else value for value in found
    ] == written
    assert len(found) == 3


def test_a_column_that_no_json_is_known_for_stops_the_sink():
    whole = batch([1])
    rows = whole.rows.append_column("raw", pa.array([b"x"], pa.binary()))
    with pytest.raises(TypeError, match="column raw of type binary"):
        lines.transaction(Batch(whole.partition, whole.offsets, whole.timestamps, rows, 2))


def test_a_new_case_is_pending():
    (line,) = parsed(lines.pending(batch([1], rows=[row(1, isFraud=1)])))
    assert line["status"] == "PENDING"
    assert line["idTransaction"] == "tx-1"


@pytest.mark.parametrize("status", ["REPORTED_FRAUD", "REPORTED_NOT_FRAUD", "NO_RESPONSE"])
def test_only_a_reported_fraud_has_a_refund(status):
    answered = answer(1, status, amount=18_100, oldbalanceOrg=18_100, newbalanceOrig=0, oldbalanceDest=2_118_200)
    (line,) = parsed(lines.outcome(batch([1], rows=[answered], partition=Partition(FRAUD_CONFIRMATION, 0))))
    assert line["status"] == status
    assert line["answeredAt"] == "2023-10-07T00:00:00.001Z"
    refund = {"amount": Decimal("181.00"), "balanceOrig": Decimal("181.00"), "balanceDest": Decimal("21182.00")}
    assert line.get("refund") == (refund if status == "REPORTED_FRAUD" else None)
