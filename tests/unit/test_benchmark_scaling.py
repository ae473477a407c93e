"""The picture of the benchmark `scaling`."""

from pathlib import Path

from benchmarks import plots
from benchmarks.scaling import DAYS, PARTITIONS, WORKERS

MEASURED = {
    "points": {
        "workers": [{"workers": number, "rows_per_second": 100_000 * number} for number in WORKERS],
        "partitions": [
            {"partitions": number, "rows_per_second": 90_000, "produced_per_second": 120_000} for number in PARTITIONS
        ],
        "days": [{"days": number, "query_seconds": 0.1, "compaction_seconds": 0.7} for number in DAYS],
    }
}


def test_the_same_points_give_the_same_picture(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        plots.scaling(MEASURED, tmp_path / name)
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "two.svg").read_text()
    for label in ("write_lake", "produce", "compaction of a day", "query of a day", ">24<", ">100<"):
        assert label in picture
