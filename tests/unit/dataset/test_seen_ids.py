"""Rows of a re-stamped file that repeat an id are rejected, wherever reading starts."""

import pyarrow as pa
import pytest
from fraudstream.dataset import seen_ids
from fraudstream.dataset.seen_ids import SeenIds
from fraudstream.errors import DatasetError
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.dataset.memory_file import UNTIMED, read, rejected_of, rows_of
from tests.unit.dataset.test_rejected_lines import RESTAMPED_HEADER


@UNTIMED
@given(calls=st.lists(st.lists(st.integers(0, 30).map(str), max_size=20), max_size=6))
def test_an_id_is_new_once(calls: list[list[str]]) -> None:
    seen, met = SeenIds(), set()
    for ids in calls:
        expected = []
        for name in ids:
            expected.append(name in met)
            met.add(name)
        assert seen.add(pa.array(ids, pa.string())).tolist() == expected


def test_many_ids_stay_known_while_the_table_grows() -> None:
    seen = SeenIds()
    parts = [pa.array([f"id-{part}-{number}" for number in range(25_000)]) for part in range(8)]
    assert not any(seen.add(part).any() for part in parts)
    assert all(seen.add(part).all() for part in parts)
    assert seen._table.nbytes <= 32 * 200_000


def test_more_ids_than_the_memory_is_bounded_to_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_ids, "MOST_IDS", 1 << 15)
    seen = SeenIds()
    seen.add(pa.array([str(number) for number in range(1 << 15)]))
    with pytest.raises(DatasetError, match="more than 32,768 rows bring their ids"):
        seen.add(pa.array(["one more"]))


def line(name: str, amount: str = "1") -> bytes:
    return f"{name},2023-10-01 13:00:00,PAYMENT,{amount},C1,2,1,M1,0,0,0,0\n".encode()


CONTENT = RESTAMPED_HEADER + b"".join(
    [line("a"), line("b", "x"), b"\n", line("b"), line("a"), line("c"), line("b"), line("c", "y"), line("d"), line("c")]
)


def test_a_repeated_id_is_rejected_and_a_rejected_row_s_id_is_free() -> None:
    chunks = read(CONTENT)
    assert [row["idTransaction"] for row in rows_of(chunks)] == ["a", "b", "c", "d"]
    rejected = rejected_of(chunks)
    assert [(r.line, r.row) for r in rejected] == [(3, 1), (6, 3), (8, 5), (9, 6), (11, 8)]
    assert rejected[1].reason == "column idTransaction: found 'a', expected an id that no earlier row has"
    assert rejected[1].text == line("a").decode().strip()


@pytest.mark.parametrize("chunk_rows", [1, 2, 3, 7])
def test_reading_from_any_position_knows_the_ids_before_it(chunk_rows: int) -> None:
    whole = read(CONTENT, chunk_rows=chunk_rows)
    for number, chunk in enumerate(whole):
        again = read(CONTENT, chunk.position, chunk_rows=chunk_rows)
        assert rows_of(again) == rows_of(whole[number + 1 :])
        assert rejected_of(again) == rejected_of(whole[number + 1 :])
