"""Pages are rendered once; the values that differ between visits are filled in and escaped."""

from html import escape

import pytest
from fraudstream.site.skeleton import Skeleton, mark
from hypothesis import given
from hypothesis import strategies as st

PAGE = Skeleton(f"<p>{mark('name')}</p><b>{mark('amount')}</b><i>{mark('name')}</i>")


@given(st.text(), st.text())
def test_each_value_stands_escaped_wherever_its_mark_was(name: str, amount: str) -> None:
    filled = PAGE.fill({"name": name, "amount": amount})
    assert filled.decode() == f"<p>{escape(name)}</p><b>{escape(amount)}</b><i>{escape(name)}</i>"


def test_a_value_that_looks_like_a_mark_stays_text() -> None:
    assert PAGE.fill({"name": mark("amount"), "amount": "secret"}).count(b"secret") == 1


def test_a_page_without_one_of_its_values_is_an_error() -> None:
    with pytest.raises(KeyError, match="amount"):
        PAGE.fill({"name": "x"})
