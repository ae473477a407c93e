"""Control totals change with every lost, duplicated or changed row, and add up for any division of the rows."""

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from fraudstream.lake.stream import lines
from fraudstream.lake.stream.totals import Totals, rows_of, total, totals_of, totals_of_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.lake.rows import answer, batch, row

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
records = st.lists(st.tuples(texts, st.integers(-(10**18) + 1, 10**18 - 1)), max_size=8)


def made_of(values):
    rows = [row(number, nameDest=text, amount=amount) for number, (text, amount) in enumerate(values)]
    return batch(range(7, 7 + len(rows)), rows=rows)


@settings(deadline=None)
@given(records, st.integers(0, 8))
def test_the_parts_of_a_batch_add_up_to_it(values, cut):
    whole = made_of(values)
    head, tail = whole.rows.slice(0, cut), whole.rows.slice(cut)
    parts = [totals_of(whole.offsets[:cut], head), totals_of(whole.offsets[cut:], tail)]
    assert total(parts) == totals_of(whole.offsets, whole.rows)


@settings(deadline=None)
@given(records)
def test_money_is_summed_exactly_and_text_by_its_characters(values):
    whole = made_of(values)
    found = totals_of(whole.offsets, whole.rows)
    assert (found.rows, found.offsets) == (len(values), sum(range(7, 7 + len(values))))
    assert found.columns["amount"] == sum(amount for _, amount in values)
    assert found.columns["nameDest"] == sum(len(text) for text, _ in values)


@settings(deadline=None)
@given(records)
def test_lines_have_the_totals_of_their_columns(values):
    whole = made_of(values)
    expected = totals_of(whole.offsets, whole.rows)
    written = bytes(lines.transaction(whole)).split(b"\n")[:-1]
    assert totals_of_lines(written, expected.columns) == expected


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize(("found", "characters"), [([], 0), ([None, None], 0), ([None, "é", "ab"], 3)])
def test_a_null_adds_nothing_and_only_nulls_are_nothing(kind, found, characters):
    rows = pa.record_batch({"reason": pa.array(found, kind), "amount": pa.nulls(len(found), pa.int64())})
    columns = totals_of(np.arange(len(found)), rows).columns
    assert columns == {"reason": characters, "amount": 0}


@settings(deadline=None, max_examples=20)
@given(records)
def test_sql_finds_the_same_lengths(values):
    with duckdb.connect() as connection:
        connection.register("names", pa.table({"nameDest": pa.array([text for text, _ in values], pa.string())}))
        ((found,),) = connection.execute("SELECT coalesce(sum(length(nameDest)), 0) FROM names").fetchall()
    whole = made_of(values)
    assert totals_of(whole.offsets, whole.rows).columns["nameDest"] == found


def test_they_come_back_from_an_object_s_metadata():
    one = totals_of(np.array([3, 5]), pa.RecordBatch.from_pylist([row(1), row(2)]))
    assert Totals.from_json(one.to_json()) == one
    with pytest.raises((ValueError, KeyError)):
        Totals.from_json('{"rows": 1}')


def test_a_column_that_older_rows_lack_adds_nothing():
    schema = pa.schema([("channel", pa.string()), ("fee", pa.int64())])
    old, new = Totals(2, 3, {"amount": 5}), Totals(1, 2, {"amount": 1, "channel": 3})
    assert old + new == Totals(3, 5, {"amount": 6, "channel": 3})
    nothing = pa.RecordBatch.from_pylist([{"channel": None, "fee": None}], schema)
    assert totals_of(np.array([1]), nothing).columns == {"channel": 0}


@pytest.mark.parametrize(
    ("found", "differing"),
    [
        (Totals(2, 3, {"amount": 5, "status": 14}), {}),
        (Totals(2, 4, {"amount": 5}), {"offsets": (3, 4)}),
        (Totals(3, 3, {"amount": 6}), {"rows": (2, 3), "amount": (5, 6)}),
        (Totals(2, 3), {"amount": (5, 0)}),
    ],
)
def test_what_differs_is_named_and_columns_that_only_the_other_side_has_are_not_compared(found, differing):
    assert Totals(2, 3, {"amount": 5}).differences(found) == differing


def test_texts_of_an_enum_count_like_any_other():
    made = batch([0, 1], rows=[answer(0, "NO_RESPONSE"), answer(1, "REPORTED_FRAUD")])
    plain = totals_of(made.offsets, made.rows)
    coded = made.rows.set_column(
        made.rows.schema.get_field_index("status"), "status", made.rows["status"].cast(pa.string()).dictionary_encode()
    )
    assert plain.columns["status"] == len("NO_RESPONSE") + len("REPORTED_FRAUD")
    assert totals_of(made.offsets, coded) == plain


def test_the_rows_of_an_object_are_those_of_its_totals():
    assert rows_of({"totals": Totals(3, 12, {}).to_json(), "start": "0"}) == 3
    assert rows_of({"offsets": "7"}) == 0
