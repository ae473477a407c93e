"""What a benchmark says at its end."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.report import Report
from benchmarks.rounds import Figures


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
    }


@pytest.mark.parametrize("holds", [True, False])
def test_the_last_line_is_the_document_that_is_kept_and_the_verdict_is_every_checks(
    holds: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report({"one": True, "other": holds})
    assert found.show(Console(file=io.StringIO()), tmp_path) is holds
    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line) == json.loads((tmp_path / "produce.json").read_text()) == found.document()
