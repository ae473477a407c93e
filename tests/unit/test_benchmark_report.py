"""The report of a benchmark."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.harness.report import Report, reaches
from benchmarks.harness.rounds import Figures


def figures(*rates: float) -> Figures:
    return Figures([{"items": rate, "seconds": 1.0, "peak_rss_mib": 10 * rate} for rate in rates])


def report(checks: dict[str, bool]) -> Report:
    measured = {"ours": figures(8, 9, 1), "ceiling": figures(10, 9, 20), "peer": figures(2)}
    return Report("produce", "rows/s", measured, checks)


def test_ratios_are_of_the_medians() -> None:
    assert report({"all there": True}).document() == {
        "name": "produce",
        "unit": "rows/s",
        "ours": 8,
        "ceiling": 10,
        "ratio_to_ceiling": 0.8,
        "peers": {"peer": 2},
        "ratio_to_peers": {"peer": 4.0},
        "peak_rss_mib": 90,
        "checks": {"all there": True},
        "rounds": {"ours": [8, 9, 1], "ceiling": [10, 9, 20], "peer": [2]},
    }


def test_of_several_ceilings_the_fastest_counts() -> None:
    measured = {"ours": figures(8), "ceiling": figures(10), "ceiling, of another client": figures(16)}
    found = Report("produce", "rows/s", measured, {}).document()
    assert (found["ceiling"], found["ratio_to_ceiling"], found["peers"]) == (16, 0.5, {})


@pytest.mark.parametrize(
    ("ours", "holds"), [((7, 8, 6), True), ((6.9, 7.5, 6.2), True), ((6.8, 6.9, 6.7), False), ((6, 6, 9), False)]
)
def test_a_ratio_is_reached_but_for_the_noise_of_the_rounds(ours: tuple[float, ...], holds: bool) -> None:
    assert reaches(figures(*ours), 0.7, figures(10, 10, 10)) is holds


@pytest.mark.parametrize(
    ("before", "said"), [((8, 9, 1), "ours is 1.00 x, within the spread"), ((70, 80, 90), "ours is 0.10 x\n")]
)
def test_a_run_is_held_against_the_last_one_of_its_kind(
    before: tuple[int, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Report("produce", "rows/s", {"ours": figures(*before)}, {}).show(Console(file=io.StringIO()), tmp_path)
    Report("lake", "records/s", {"ours": figures(5000)}, {}).show(Console(file=io.StringIO()), tmp_path)
    shown = io.StringIO()
    report({}).show(Console(file=shown, width=200), tmp_path)
    assert said in shown.getvalue()
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 3


def test_a_run_without_a_rate_is_not_compared(tmp_path: Path) -> None:
    shown = io.StringIO()
    for _ in range(2):
        Report("exactly_once", "records/s", {}, {}, single=(0.0, 80.0)).show(Console(file=shown, width=200), tmp_path)
    assert "a run has no rate" in shown.getvalue()


@pytest.mark.parametrize("holds", [True, False])
def test_the_last_line_is_the_document_that_is_kept_and_the_verdict_is_every_checks(
    holds: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report({"one": True, "other": holds})
    assert found.show(Console(file=io.StringIO()), tmp_path) is holds
    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line) == json.loads((tmp_path / "produce.json").read_text()) == found.document()


def test_what_has_no_process_of_its_own_has_no_memory_in_the_table(tmp_path: Path) -> None:
    peer = Figures([{"items": 2, "seconds": 1.0, "peak_rss_mib": 0.0}])
    shown = io.StringIO()
    Report("confirmation", "resolutions/s", {"ours": figures(8), "peer": peer}, {}).show(
        Console(file=shown, width=200), tmp_path
    )
    ours, other = (
        next(line for line in shown.getvalue().splitlines() if line.startswith(name)) for name in ("ours", "peer")
    )
    assert ours.split()[-1] == "80"
    assert other.split()[-2:] == ["4.00", "x"]
