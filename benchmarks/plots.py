"""``python -m benchmarks.plots``: the pictures of docs/benchmarks.md, from what the benchmarks measured last."""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from fraudstream.settings import ROOT
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.stack import FOLDER

GROWTH = ROOT / "docs" / "images" / "compaction-growth.svg"
_ENGINES = {"ours": ("one machine", "#1b6ca8", "o"), "Spark": ("Spark, local mode", "#c8553d", "s")}


def growth(measured: dict[str, Any], target: Path) -> None:
    """Time and memory of a compaction over its rows, a line for each engine."""
    # The same figures give the same file.
    mpl.rcParams |= {"svg.hashsalt": "fraudstream", "svg.fonttype": "none", "font.size": 10}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    _lines(seconds, measured["points"], "seconds", "seconds, whole run")
    _lines(memory, measured["points"], "peak_rss_mib", "peak memory of all processes, MiB")
    seconds.legend(frameon=False, loc="upper left")
    figure.savefig(target, metadata={"Date": None})


def _lines(axes: Axes, points: list[dict[str, Any]], value: str, label: str) -> None:
    for engine, (name, colour, marker) in _ENGINES.items():
        own = [(point["rows"] / 1e6, point[value]) for point in points if point["engine"] == engine]
        axes.plot(*zip(*own, strict=True), color=colour, marker=marker, label=name)
        for rows, figure in own:
            text = f"{figure:,.1f}" if figure < 100 else f"{figure:,.0f}"
            axes.annotate(text, (rows, figure), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xlabel("rows, millions")
    axes.set_ylabel(label)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.08)
    axes.set_xlim(left=0, right=axes.get_xlim()[1] * 1.03)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


if __name__ == "__main__":
    source = FOLDER / "growth.json"
    if not source.exists():
        sys.exit(f"{source} isn't there: run `make benchmark NAME=growth` first")
    growth(json.loads(source.read_text()), GROWTH)
    sys.stdout.write(f"{GROWTH.relative_to(ROOT)}\n")
