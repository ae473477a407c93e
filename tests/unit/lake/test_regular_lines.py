"""The fast reader gives what the JSON parser gives, or leaves the lines to it."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
from fraudstream.lake.compaction import regular_lines
from fraudstream.lake.compaction.regular_lines import Reader
from fraudstream.lake.stream import lines
from fraudstream.lake.table.schemas import coded_schema, rows_of_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip

from tests.unit.lake.rows import batch, row

FOLDER = "transaction"
GOOD = bytes(lines.transaction(batch(range(5))))


def regular_rows(body, folder=FOLDER):
    return rows_of(Reader(coded_schema(folder)), [igzip.compress(body)], body.count(b"\n"))


def rows_of(reader, objects, count):
    return reader.rows(objects, reader.block(count), 0, count)


def parsed(body, folder=FOLDER):
    return rows_of_lines(folder, "x", body).cast(coded_schema(folder))


MONEY = st.integers(-(10**17), 10**17)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(MONEY, st.none() | st.integers(0, 800), st.text(max_size=5)), min_size=1, max_size=8))
def test_whatever_the_pipeline_writes_is_read_as_the_json_parser_reads_it(values):
    rows = [row(n, amount=amount, step=step, nameDest=text) for n, (amount, step, text) in enumerate(values)]
    body = bytes(lines.transaction(batch(range(len(rows)), rows=rows)))
    found = regular_rows(body)
    expected = parsed(body)
    assert found is None or found.equals(expected)
    if not any(set(text) & set('\\"') or any(c < " " for c in text) for _, _, text in values):
        assert found is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
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
        (b'"step":1', b'"step":01'),
        (b'"step":1', b'"step":nul'),
        (b'"step":1', b'"step":2147483648'),
        (b"9839.67", b"-"),
        (b"9839.67", b"10000000000000000.00"),
        (b"2023-10-07T00", b"2023-02-29T00"),
        (b"00.000Z", b"00.00:Z"),
        (b'"M3"', b'"M\t3"'),
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
    assert regular_rows(GOOD) is not None
    place = GOOD.index(old, len(GOOD) // 2 if old in GOOD[len(GOOD) // 2 :] else 0)
    assert regular_rows(GOOD[:place] + new + GOOD[place + len(old) :]) is None


def test_a_line_without_its_end_is_left_to_the_json_parser():
    assert regular_rows(GOOD[:-1]) is None


def test_money_of_any_size_is_exact():
    rows = [row(0, amount=999_999_999_999_999_999), row(1, amount=-999_999_999_999_999_999), row(2, amount=1)]
    found = regular_rows(bytes(lines.transaction(batch(range(3), rows=rows))))
    cents = np.frombuffer(found["amount"].combine_chunks().buffers()[1], np.int64)
    assert cents[:3].tolist() == [999_999_999_999_999_999, -999_999_999_999_999_999, 1]


def test_objects_of_several_gzip_members_are_read_one_after_the_other_and_memory_is_used_again():
    reader = Reader(coded_schema(FOLDER))
    packed = igzip.compress(GOOD)
    both = rows_of(reader, [packed, packed + packed], 15)
    assert both["offset"].to_pylist() == [*range(5)] * 3
    other = igzip.compress(GOOD.replace(b'"M3"', b'"N3"'))
    assert rows_of(reader, [other], 5)["nameDest"].to_pylist() == ["M0", "M1", "M2", "N3", "M4"]
    assert both["nameDest"].to_pylist() == ["M0", "M1", "M2", "M3", "M4"] * 3
    assert rows_of(reader, [], 0) is None


def test_rows_that_are_read_into_one_block_lie_side_by_side():
    reader = Reader(coded_schema(FOLDER))
    block = reader.block(11)
    parts = [reader.rows([igzip.compress(GOOD)], block, first, 5) for first in (6, 1)]
    assert all(part.equals(parsed(GOOD)) for part in parts)


@pytest.mark.parametrize("count", [0, 4, 6])
def test_lines_of_another_number_than_was_said_are_left_to_whoever_counts_them(count):
    assert rows_of(Reader(coded_schema(FOLDER)), [igzip.compress(GOOD)], count) is None


def test_lines_of_more_bytes_than_there_is_memory_for_are_read(monkeypatch):
    monkeypatch.setattr(regular_lines, "_MEMORY_BYTES", 200)
    assert regular_rows(GOOD * 100).equals(parsed(GOOD * 100))


@pytest.mark.parametrize("broken", [igzip.compress(GOOD)[:-1], b"no gzip", igzip.compress(GOOD) + b"x"])
def test_what_is_no_whole_gzip_file_is_left_to_whoever_says_so(broken):
    assert rows_of(Reader(coded_schema(FOLDER)), [broken], 5) is None


@pytest.mark.parametrize(("kinds", "regular"), [(64, True), (65, False)])
def test_many_different_values_of_a_coded_column_are_left_to_the_json_parser(kinds, regular):
    rows = [row(n, type=f"KIND{n * 7 % kinds:0{1 + n % kinds}}") for n in range(200)]
    body = bytes(lines.transaction(batch(range(200), rows=rows)))
    found = regular_rows(body)
    assert (found is not None) == regular
    assert found is None or found["type"].to_pylist() == parsed(body)["type"].to_pylist()


@settings(max_examples=200, deadline=None)
@given(st.integers(-(719_162 * 86_400_000), 2_932_896 * 86_400_000 + 86_399_999))
def test_each_moment_of_the_years_1_to_9999_is_read_as_numpy_writes_it(moment):
    text = str(np.datetime64(moment, "ms")).encode() + b"Z"
    found = regular_rows(re.sub(rb"2023-10-07T[0-9:.]+Z", text, GOOD))
    assert found["timestamp"].cast(pa.int64()).to_pylist() == [moment] * 5


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 9, 15, 16, 17, 300, 5_000])
@pytest.mark.parametrize("letter", ["x", "é", "\x7f", ","])
def test_texts_of_any_length(size, letter):
    rows = [row(n, nameDest=letter * size, nameOrig=f"C{n}") for n in range(3)]
    found = regular_rows(bytes(lines.transaction(batch(range(3), rows=rows))))
    assert found["nameDest"].to_pylist() == [letter * size] * 3
    assert found["nameOrig"].to_pylist() == ["C0", "C1", "C2"]


def test_text_that_is_no_utf_8_is_left_to_the_json_parser():
    assert regular_rows(GOOD.replace(b'"M3"', b'"M\xff"')) is None


def test_mails_are_regular_where_their_times_are_there():
    line = {
        "idTransaction": "tx-1", "kind": "notice", "recipient": "c@example.com", "messageId": "<1@x>",
        "status": "failed", "reply": "550 no such user", "attempts": 1,
        "firstTriedAt": "2023-10-07T00:00:00.000Z", "finishedAt": "2023-10-07T00:00:01.000Z",
        "topic": "fraud_transaction", "partition": 1, "offset": 5, "recordTimestamp": "2023-10-07T00:00:00.000Z",
    }  # fmt: skip

    def body(**values):
        return json.dumps(line | values, separators=(",", ":")).encode() + b"\n"

    assert regular_rows(body(), "email_confirmation").equals(parsed(body(), "email_confirmation"))
    assert regular_rows(body(reply="550 no, never"), "email_confirmation")["reply"].to_pylist() == ["550 no, never"]
    assert regular_rows(body(attempts=0, firstTriedAt=None), "email_confirmation") is None
