"""Compiled code puts rows in the same order as plain code does."""

import numpy as np
import pyarrow as pa
from fraudstream.lake.compaction import compiled_ordering, ordering
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=20) | st.lists(
    st.text("ab\0é", max_size=12), min_size=1, max_size=20
)
ALIKE = TEXTS.map(lambda texts: ["C1" + (text or "") for text in texts])


@settings(max_examples=200, deadline=None)
@given(TEXTS | ALIKE, st.data())
def test_rows_in_any_order_and_any_number(texts, data):
    first = data.draw(st.integers(0, len(texts) - 1))
    numbers = range(len(texts))
    rows = pa.table(
        {
            "text": pa.array(texts, pa.string()),
            "coded": pa.array(texts, pa.string()).dictionary_encode(),
            "long": numbers,
            "short": pa.array(numbers, pa.int32()),
            "wide": pa.array(numbers, pa.decimal128(18, 2)),
            "money": pa.array(numbers, pa.decimal64(18, 2)),
            "time": pa.array(numbers, pa.timestamp("ms", "UTC")),
            "flag": [number % 2 == 0 for number in numbers],
        }
    )[first:]
    places = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=30)), np.int64)
    found = compiled_ordering.take(rows, places)
    found.validate(full=True)
    assert found.equals(ordering.take(rows, places))


@settings(max_examples=200, deadline=None)
@given(TEXTS | ALIKE, st.data())
def test_keys_never_contradict_the_order_of_the_texts(texts, data):
    first = data.draw(st.integers(0, len(texts) - 1))
    column = pa.array(texts, pa.string())[first:]
    bare = [(text or "").encode() for text in texts[first:]]
    for keys in (ordering.keys(column, np.arange(len(column))), compiled_ordering.keys(column, np.arange(len(column)))):
        for one, key in zip(bare, keys.tolist(), strict=True):
            for other, other_key in zip(bare, keys.tolist(), strict=True):
                assert key <= other_key or one >= other
