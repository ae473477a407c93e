from fraudstream.money import shown, to_minor, to_text
from hypothesis import given
from hypothesis import strategies as st


@given(st.integers(-(2**63), 2**63 - 1))
def test_amounts_are_exact_as_text_and_as_people_read_them(minor: int) -> None:
    assert to_minor(to_text(minor)) == minor
    assert shown(minor).replace(",", "") == to_text(minor)


def test_people_read_thousands_apart() -> None:
    assert [shown(minor) for minor in (5, 99_999, 100_000, 983_964, -18_198_343, 10**14)] == [
        "0.05",
        "999.99",
        "1,000.00",
        "9,839.64",
        "-181,983.43",
        "1,000,000,000,000.00",
    ]
