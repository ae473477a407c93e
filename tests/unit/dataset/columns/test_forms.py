"""Columns that hold no data are read past; others that no form has are named."""

import pytest
from fraudstream.dataset.columns.forms import PAYSIM, detect_form
from fraudstream.errors import UnknownHeader

from tests.unit.dataset.memory_file import read, rows_of
from tests.unit.dataset.source.source_behaviour import CONTENT

NAMES = ["", "index", "Index", "X", "_c0", "_c11", "...1", "...12", "Unnamed: 0", "Unnamed: 11", "Unnamed: 0.1"]
NAMES += ["level_0", "row_nr", "rownames"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0, 3, 11])
def test_an_index_is_read_past_wherever_it_stands(name: str, place: int) -> None:
    lines = [line.split(b",") for line in CONTENT.splitlines()]
    for number, fields in enumerate(lines):
        fields.insert(place, b"%d" % number if number else name.encode())
    found = rows_of(read(b"\n".join(map(b",".join, lines))))
    expected = rows_of(read(CONTENT))
    assert [{**row, "idTransaction": None} for row in found] == [{**row, "idTransaction": None} for row in expected]


@pytest.mark.parametrize("name", ["id", "Unnamed: city", "xs", "country"])
def test_another_column_is_unexpected(name: str) -> None:
    with pytest.raises(UnknownHeader, match=f"nearest to the form PaySim: unexpected: {name}\\. Expected"):
        detect_form(",".join([*PAYSIM, name]), "a.csv")
