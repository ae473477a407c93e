from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from fraudstream.lake.compaction import compiled_checksum
from fraudstream.lake.compaction.checksum import add, checksum
from hypothesis import given, settings
from hypothesis import strategies as st

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("other", pa.string()),
        ("amount", pa.decimal128(18, 2)),
        ("at", pa.timestamp("ms", "UTC")),
        ("count", pa.int32()),
    ]
)
texts = st.none() | st.text(max_size=40) | st.sampled_from(["a", "a\0", "\0a", "", "aaaaaaaa", "aaaaaaaaaaaaaaaa"])
rows = st.fixed_dictionaries(
    {
        "name": texts,
        "other": texts,
        "amount": st.none() | st.integers(-(10**18) + 1, 10**18 - 1).map(lambda minor: Decimal(minor).scaleb(-2)),
        "at": st.none() | st.integers(0, 4 * 10**12).map(lambda ms: datetime.fromtimestamp(ms // 1000, UTC)),
        "count": st.none() | st.integers(-(2**31), 2**31 - 1),
    }
)


def table(values):
    return pa.Table.from_pylist(values, SCHEMA)


@settings(deadline=None)
@given(st.lists(rows, max_size=12).flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))), st.integers(0, 12))
def test_order_and_splitting_change_nothing(both, cut):
    one, other = both
    assert checksum(table(one)) == checksum(table(other))
    assert checksum(table(one)) == add(checksum(table(other[:cut])), checksum(table(other[cut:])))
    assert checksum(table(one)) == checksum(pa.concat_tables([table(other[:cut]), table(other[cut:])]))


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=8), st.data())
def test_any_changed_value_shows(values, data):
    row = data.draw(st.integers(0, len(values) - 1))
    changed = dict(values[row]) | data.draw(rows)
    if changed != values[row]:
        assert checksum(table(values)) != checksum(table([*values[:row], changed, *values[row + 1 :]]))


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=8), st.data())
def test_a_doubled_or_missing_row_shows(values, data):
    row = data.draw(st.integers(0, len(values) - 1))
    assert checksum(table(values)) != checksum(table([*values, values[row]]))
    if values[row] != dict.fromkeys(SCHEMA.names):
        assert checksum(table(values)) != checksum(table(values[:row] + values[row + 1 :]))


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("", None), ("a\0", "a"), ("x" * 100, "x" * 99)])
def test_values_that_change_places_show(one, other):
    def rows_of(*pairs):
        return pa.table({"a": pa.array([p[0] for p in pairs], pa.string()), "b": pa.array([p[1] for p in pairs])})

    assert checksum(rows_of((one, "q"), (other, "r"))) != checksum(rows_of((other, "q"), (one, "r")))
    both = pa.table({"a": pa.array([one], pa.string()), "b": pa.array([other], pa.string())})
    swapped = pa.table({"a": pa.array([other], pa.string()), "b": pa.array([one], pa.string())})
    assert checksum(both) != checksum(swapped)


def test_it_is_the_same_in_every_version():
    values = [
        {
            "name": "C1",
            "other": "naïve",
            "amount": Decimal("9839.64"),
            "at": datetime(2023, 10, 7, tzinfo=UTC),
            "count": 1,
        },
        {"name": None, "other": "", "amount": Decimal("-0.05"), "at": None, "count": None},
    ]
    assert f"{checksum(table(values)):016x}" == "90a3568368bd66d9"


def test_a_column_of_nulls_counts_for_nothing():
    one = pa.table({"a": ["x", "y"]})
    assert checksum(one) == checksum(one.append_column("added", pa.nulls(2, pa.string())))


def test_a_long_value_among_many_short_ones():
    values = ["x" * 300_000, *map(str, range(5_000))]
    assert checksum(pa.table({"a": values})) == checksum(pa.table({"a": values[::-1]}))


@settings(deadline=None)
@given(st.lists(rows, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_the_compiled_one_gives_the_same_sums(values, start, end):
    part = table(values)[start:end]
    assert compiled_checksum.checksum(part) == checksum(part)
    assert compiled_checksum.checksum(pa.concat_tables([part, table(values)])) == add(
        checksum(part), checksum(table(values))
    )


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 15, 16, 63, 64, 65, 128])
def test_the_compiled_one_reads_the_last_text_to_its_end_and_no_further(size):
    ends = pa.array([0, 0, size], pa.int32())
    texts = pa.Array.from_buffers(pa.string(), 2, [None, ends.buffers()[1], pa.py_buffer(b"x" * size)])
    assert compiled_checksum.checksum(pa.table({"a": texts})) == checksum(pa.table({"a": texts}))


@settings(deadline=None)
@given(st.lists(texts, max_size=12), st.integers(0, 12))
def test_dictionaries_have_the_sums_of_their_texts(values, start):
    plain = pa.table({"a": pa.array(values, pa.string())})[start:]
    coded = pa.table({"a": pa.array(values, pa.string()).dictionary_encode()})[start:]
    assert checksum(coded) == compiled_checksum.checksum(coded) == checksum(plain)
