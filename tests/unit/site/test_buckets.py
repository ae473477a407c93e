import pytest
from fraudstream.site.buckets import Buckets, client_key
from hypothesis import given, settings
from hypothesis import strategies as st


class TestBuckets:
    def test_a_bucket_gives_its_capacity_at_once_and_refills_evenly(self) -> None:
        now = 0.0
        buckets = Buckets(4, 60, clock=lambda: now)
        assert [buckets.take("a") for _ in range(6)] == [True] * 4 + [False] * 2
        assert buckets.take("b"), "keys don't share a bucket"
        now = 15.0
        assert [buckets.take("a") for _ in range(2)] == [True, False]
        now = 1000.0
        assert [buckets.take("a") for _ in range(5)] == [True] * 4 + [False]

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10))
    def test_no_stretch_of_time_gets_more_than_the_capacity_and_what_refilled(
        self, pauses: list[float], capacity: int
    ) -> None:
        now = 0.0
        buckets = Buckets(capacity, 60, clock=lambda: now)
        taken = []
        for pause in pauses:
            now += pause
            if buckets.take("a"):
                taken.append(now)
        for first in range(len(taken)):
            for last in range(first, len(taken)):
                assert last - first + 1 <= capacity + (taken[last] - taken[first]) * capacity / 60 + 1e-6

    def test_memory_stays_bounded_however_many_keys_come(self) -> None:
        now = 0.0
        buckets = Buckets(2, 60, most_keys=10, clock=lambda: now)
        for key in range(100):
            buckets.take(str(key))
            assert len(buckets) <= 10
        now = 100.0
        buckets.take("new")
        assert len(buckets) <= 10

    def test_a_full_table_forgets_those_who_are_not_limited_first(self) -> None:
        now = 0.0
        buckets = Buckets(1, 60, most_keys=2, clock=lambda: now)
        buckets.take("quiet")
        now = 59.0
        buckets.take("busy")
        now = 61.0
        buckets.take("new")
        assert not buckets.take("busy")


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_an_ipv4_address_or_an_ipv6_network(host: str, key: str) -> None:
    assert client_key(host) == key
