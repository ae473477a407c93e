"""Items that are prepared before they are requested."""

import threading
from collections.abc import Iterator

import pytest
from fraudstream.ahead import Ahead
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.integers()), st.integers(1, 5))
def test_items_and_their_order_stay(items: list[int], count: int) -> None:
    assert list(Ahead(iter(items), count)) == items


def test_an_error_is_raised_where_its_item_is_asked_for() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("third")

    found = Ahead(items(), 4)
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(found)


def test_so_many_are_made_before_they_are_asked_for_and_no_more() -> None:
    made: list[int] = []
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    with Ahead(items(), 2) as found:
        assert next(found) == 0
        assert third.wait(5)
        assert next(found) == 1
    assert len(made) <= 4


def test_the_first_are_made_before_any_is_asked_for() -> None:
    second = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second.set()
        yield 2

    with Ahead(items(), 2):
        assert second.wait(5)


@given(st.lists(st.integers()), st.integers(1, 5))
def test_it_knows_whether_an_item_is_left(items: list[int], count: int) -> None:
    found = Ahead(iter(items), count)
    left = [found.at_end, *(found.at_end for _ in found)]
    assert left == [False] * len(items) + [True]


def test_looking_for_the_end_raises_what_the_next_item_raises() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    found = Ahead(items(), 2)
    assert next(found) == 1
    with pytest.raises(ValueError, match="second"):
        _ = found.at_end
