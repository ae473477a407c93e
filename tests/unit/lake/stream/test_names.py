import re
from datetime import date

import pytest
from fraudstream.lake.stream import names
from hypothesis import given, settings
from hypothesis import strategies as st

topics = st.from_regex(re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII), fullmatch=True)
days = st.dates(date(1970, 1, 1), date(9999, 12, 31))
offsets = st.integers(0, 2**63 - 1)


@settings(deadline=None)
@given(st.sampled_from(names.FOLDERS), days, topics, st.integers(0, 10_000), offsets)
def test_what_a_name_is_made_of_can_be_read_off_it(folder, day, topic, partition, offset):
    name = names.object_name(folder, day, topic, partition, offset)
    assert names.parse_object_name(name) == (folder, day, (topic, partition), offset)


@settings(deadline=None)
@given(days, offsets, offsets)
def test_names_of_a_partition_sort_as_their_offsets(day, one, other):
    first, second = (names.object_name("transaction", day, "t", 0, offset) for offset in (one, other))
    assert (first < second) == (one < other)


def test_the_layout_is_the_documented_one():
    day = date(2023, 10, 7)
    assert (
        names.object_name("transaction", day, "non_fraud_transaction", 3, 12_000)
        == "transaction/dt=2023-10-07/non_fraud_transaction-3-00000000000000012000.json.gz"
    )
    assert names.progress_name("transaction", "t", 3) == "_progress/transaction/t-3.json"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "transaction/dt=2023-02-30/t-0-00000000000000000000.json.gz",
        "transaction/dt=2023-10-07/t-0-0.json.gz",
        "transaction/dt=2023-10-07/t-0-00000000000000000000.json",
        "a/transaction/dt=2023-10-07/t-0-00000000000000000000.json.gz",
        "transaction/dt=2023-10-07/compacted-0-00000.parquet",
    ],
)
def test_other_names_are_no_names_of_json_objects(name):
    assert names.parse_object_name(name) is None


@settings(deadline=None)
@given(st.integers(0, 253_402_300_799_999))
def test_the_day_is_the_utc_date_of_the_record_timestamp(timestamp_ms):
    start = (names.day_of(timestamp_ms) - date(1970, 1, 1)).days * 86_400_000
    assert start <= timestamp_ms < start + 86_400_000
