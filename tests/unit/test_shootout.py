"""The counts of the comparison of sinks under faults."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from benchmarks.shootout.counts import Counts, Outcome, compare, table, verdict
from benchmarks.shootout.readers import Files, GrowingFile, ids_in_lines, ids_in_parquet
from benchmarks.shootout.sinks.spark import Committed


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        ("abc", Counts(0, 0)),
        ("cab", Counts(0, 0)),
        ("ac", Counts(1, 0)),
        ("abbbc", Counts(0, 2)),
        ("aab", Counts(1, 1)),
        ("abcx", Counts(0, 0, 1)),
        ("", Counts(3, 0)),
    ],
)
def test_lost_are_those_that_are_missing_and_doubled_are_the_copies_beyond_the_first(
    found: str, counts: Counts
) -> None:
    assert compare("abc", found) == counts
    assert counts.exact is (counts == Counts(0, 0))


def outcome(subject: str, fault: str, counts: Counts | None, seed: int = 1) -> Outcome:
    return Outcome(subject, fault, seed, counts, error="" if counts else "no such class")


def test_the_verdict_is_about_one_subject_and_every_seed_counts() -> None:
    outcomes = [
        outcome("ours", "kill", Counts(0, 0)),
        outcome("ours", "zombie", Counts(0, 0)),
        outcome("ours", "zombie", Counts(0, 1), seed=2),
        outcome("ours", "store", None),
        outcome("peer", "kill", Counts(5, 5)),
    ]
    assert verdict(outcomes, "ours") == {
        "ours loses and doubles nothing: kill": True,
        "ours loses and doubles nothing: zombie": False,
        "ours loses and doubles nothing: store": False,
    }


def test_the_table_has_a_row_for_each_subject_and_every_seed() -> None:
    outcomes = [
        outcome("ours", "kill", Counts(0, 0)),
        outcome("ours", "kill", Counts(0, 0), seed=2),
        outcome("ours", "rebalance", Counts(0, 0)),
        replace(outcome("peer", "kill", Counts(1_000, 2)), other=("its own reader", Counts(0, 0))),
        outcome("other", "kill", None),
    ]
    assert table(outcomes) == [
        "| lost / doubled | kill | rebalance |",
        "|---|---|---|",
        "| ours | 0 / 0, 0 / 0 | 0 / 0 |",
        "| peer | 1,000 / 2 (its own reader: 0 / 0) | - |",
        "| other | did not run | - |",
    ]


def test_an_outcome_that_is_kept_has_its_counts_or_the_error() -> None:
    kept = outcome("peer", "store", Counts(1, 2, 3)).document()
    assert (kept["lost"], kept["doubled"], kept["unknown"]) == (1, 2, 3)
    assert "lost" not in outcome("peer", "store", None).document()
    other = replace(outcome("peer", "kill", Counts(0, 5)), other=("file listing", Counts(0, 7)))
    assert other.document()["file listing"] == {"lost": 0, "doubled": 7, "unknown": 0}
    assert "by file listing 0 lost, 7 doubled" in other.line()
    assert "did not run: no such class" in outcome("peer", "store", None).line()
    assert "1 lost, 2 doubled, 3 unknown; not recovered" in outcome("peer", "store", Counts(1, 2, 3)).line()


def test_ids_are_found_in_json_and_in_printed_structs() -> None:
    assert ids_in_lines(b'{"idTransaction":"a","step":1}\n{"step": 2, "idTransaction": "b"}\n') == ["a", "b"]
    assert ids_in_lines(b"Struct{idTransaction=a,timestamp=1}\nStruct{idTransaction=b}\n") == ["a", "b"]


def test_a_torn_line_counts_as_something_unknown_and_two_records_in_one_as_both() -> None:
    assert ids_in_lines(b'mount":5}\n{"idTransaction":"a"}{"idTransaction":"b"}\n') == ["b'mount\":5}'", "a", "b"]


def test_a_growing_file_is_read_on_from_its_last_ended_line(tmp_path: Path) -> None:
    path = tmp_path / "records.txt"
    reader = GrowingFile(path)
    assert reader.new() == []
    path.write_text("Struct{idTransaction=a}\nStruct{idTrans")
    assert reader.new() == ["a"]
    assert reader.new() == []
    with path.open("a") as file:
        file.write("action=b}\n")
    assert reader.new() == ["b"]


def test_hidden_files_do_not_count_and_one_that_changed_is_read_again(tmp_path: Path) -> None:
    reader = Files(tmp_path, lambda path: path.read_text().split())
    (tmp_path / "_log").mkdir()
    (tmp_path / "_log" / "0").write_text("x")
    (tmp_path / ".part.inprogress").write_text("y")
    (tmp_path / "part-0").write_text("a")
    assert reader.new() == ["a"]
    assert reader.new() == []
    (tmp_path / "part-0").write_text("a b")
    assert reader.new() == ["a", "b"]
    assert Files(tmp_path, lambda path: path.read_text().split()).new() == ["a", "b"]
    (tmp_path / "part-1.json").write_text("c")
    assert Files(tmp_path, lambda path: path.read_text().split(), "*.json").new() == ["c"]


def test_a_parquet_file_that_was_cut_off_counts_as_one_unknown_record(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    pl.DataFrame({"idTransaction": ["a", "b"]}).write_parquet(whole)
    cut.write_bytes(whole.read_bytes()[:-9])
    found = Files(tmp_path, ids_in_parquet, "*.parquet").new()
    assert compare("ab", found) == Counts(0, 0, 1)


def test_sparks_own_reader_counts_only_files_that_its_log_names(tmp_path: Path) -> None:
    log = tmp_path / "_spark_metadata"
    log.mkdir()
    for name in ("part 0", "part-1", "left-over"):
        (tmp_path / name).write_text(f'{{"idTransaction":"{name}"}}\n')
    for number, name in (("0", "part 0"), ("1", "part-1"), ("9.compact", "part-1")):
        (log / number).write_text("v1\n" + json.dumps({"path": (tmp_path / name).as_uri(), "action": "add"}))
    assert sorted(Committed(tmp_path).new()) == ["part 0", "part-1"]
    assert len(Files(tmp_path, lambda path: ids_in_lines(path.read_bytes())).new()) == 3
