"""Compiled code takes the same rows as Arrow does."""

import numpy as np
import pyarrow as pa
from fraudstream.lake.compiled_take import take
from hypothesis import given, settings
from hypothesis import strategies as st

TEXTS = st.lists(st.none() | st.text(max_size=20), min_size=1, max_size=20) | st.lists(
    st.text(max_size=20), min_size=1, max_size=20
)


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.data())
def test_rows_in_any_order_and_any_number(texts, data):
    first = data.draw(st.integers(0, len(texts) - 1))
    rows = pa.table({"text": pa.array(texts, pa.string()), "number": range(len(texts))})[first:]
    places = np.array(data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=30)), np.int64)
    found = take(rows, places)
    found.validate(full=True)
    assert found.equals(rows.take(pa.array(places)))
