"""The fast reader gives what the JSON parser gives, or leaves the lines to it."""

import json

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.lake import lines
from fraudstream.lake.schemas import _parsed, json_schema, regular_rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.lake.rows import batch, row

FOLDER = "transaction"
GOOD = bytes(lines.transaction(batch(range(5))))
MONEY = st.integers(-(10**17), 10**17)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(MONEY, st.none() | st.integers(0, 800), st.text(max_size=5)), min_size=1, max_size=8))
def test_whatever_the_pipeline_writes_is_read_as_the_json_parser_reads_it(values):
    rows = [row(n, amount=amount, step=step, nameDest=text) for n, (amount, step, text) in enumerate(values)]
    body = bytes(lines.transaction(batch(range(len(rows)), rows=rows)))
    found = regular_rows_of(FOLDER, body)
    expected = _parsed(FOLDER, "x", body, None)
    assert found is None or found.equals(expected)
    if not any(set(text) & set('\\",\r') or any(c < " " for c in text) for _, _, text in values):
        assert found is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"M3"', b'"M,3"'),
        (b'"M3"', b'"M\\"3"'),
        (b'"M3"', b'"M"3"'),
        (b'"M3"', b'"M","x":"'),
        (b'"M3"', b"null"),
        (b'"M3"', b"M3"),
        (b"9839.67", b"9839.675"),
        (b"9839.67", b'"9839.67"'),
        (b"9839.67", b""),
        (b'"step":1', b'"stop":1'),
        (b'"step":1', b'"step":1.5'),
        (b'"step":1', b'"step": "1"'),
        (b'"step":1,', b""),
        (b'"step":1,"type":"PAYMENT"', b'"type":"PAYMENT","step":1'),
        (b'"isFraud":0', b'"isFraud":0,"new":1'),
        (b"T00:00:00.000Z", b"T25:00:00.000Z"),
        (b"}\n", b"}\n\n"),
        (b"}\n", b"} \n"),
        (b"}\n", b"\n"),
        (b"{", b""),
    ],
)
def test_a_line_of_any_other_shape_is_left_to_the_json_parser(old, new):
    assert regular_rows_of(FOLDER, GOOD) is not None
    place = GOOD.index(old, len(GOOD) // 2 if old in GOOD[len(GOOD) // 2 :] else 0)
    assert regular_rows_of(FOLDER, GOOD[:place] + new + GOOD[place + len(old) :]) is None


def test_a_line_without_its_end_is_left_to_the_json_parser():
    assert regular_rows_of(FOLDER, GOOD[:-1]) is None


def test_money_of_any_size_is_exact():
    rows = [row(0, amount=999_999_999_999_999_999), row(1, amount=-999_999_999_999_999_999), row(2, amount=1)]
    found = regular_rows_of(FOLDER, bytes(lines.transaction(batch(range(3), rows=rows))))
    cents = np.frombuffer(found["amount"].combine_chunks().buffers()[1], np.int64)[::2]
    assert cents[:3].tolist() == [999_999_999_999_999_999, -999_999_999_999_999_999, 1]


def test_some_columns_are_read_alone_and_in_the_order_asked_for():
    found = regular_rows_of(FOLDER, GOOD, ["offset", "topic"])
    assert found.schema == pa.schema([json_schema(FOLDER).field(name) for name in ("offset", "topic")])
    assert found["offset"].to_pylist() == [0, 1, 2, 3, 4]


def test_mails_without_a_comma_in_a_reply_are_regular_and_others_are_not():
    line = {
        "idTransaction": "tx-1", "kind": "notice", "recipient": "c@example.com", "messageId": "<1@x>",
        "status": "failed", "reply": "550 no such user", "attempts": 1,
        "firstTriedAt": "2023-10-07T00:00:00.000Z", "finishedAt": "2023-10-07T00:00:01.000Z",
        "topic": "fraud_transaction", "partition": 1, "offset": 5, "recordTimestamp": "2023-10-07T00:00:00.000Z",
    }  # fmt: skip

    def body(**values):
        return json.dumps(line | values, separators=(",", ":")).encode() + b"\n"

    assert regular_rows_of("email_confirmation", body()).equals(_parsed("email_confirmation", "x", body(), None))
    assert regular_rows_of("email_confirmation", body(reply="550 no, never")) is None
    assert regular_rows_of("email_confirmation", body(attempts=0, firstTriedAt=None)) is None
