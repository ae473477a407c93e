"""``python -m benchmarks.plots``: draws the pictures of docs/benchmarks.md from the benchmarks' latest results."""

import json
import sys
from operator import itemgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
from fraudstream.settings import ROOT
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.harness.stack import FOLDER

_IMAGES = ROOT / "docs" / "images"
GROWTH = _IMAGES / "compaction-growth.svg"
DAY = _IMAGES / "day.svg"
SCALING = _IMAGES / "scaling.svg"
_BLUE, _RED, _GREY = "#1b6ca8", "#c8553d", "#c9ced6"
_ENGINES = {"ours": ("one machine", _BLUE, "o"), "Spark": ("Spark, local mode", _RED, "s")}


def growth(measured: dict[str, Any], target: Path) -> None:
    """Draws time and memory of a compaction over its number of rows, with a line for each engine."""
    figure = _figure(9, 3.6)
    seconds, memory = figure.subplots(1, 2)
    _lines(seconds, measured["points"], "seconds", "seconds, whole run")
    _lines(memory, measured["points"], "peak_rss_mib", "peak memory of all processes, MiB")
    seconds.legend(frameon=False, loc="upper left")
    figure.savefig(target, metadata={"Date": None})


def day(measured: dict[str, Any], target: Path) -> None:
    """Draws a simulated day: records and latencies by hour, age of the table's newest row, and CPU seconds by part."""
    figure = _figure(9, 8)
    latencies, freshness, cpu = figure.subplots(3, 1, height_ratios=[3, 2, 3])
    hours = measured["hours"]
    records = latencies.twinx()
    records.bar([hour + 0.5 for hour in range(len(hours))], [hour["records"] for hour in hours], 0.9, color=_GREY)
    records.set_ylabel("records in the hour (bars)")
    records.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    latencies.set_zorder(records.get_zorder() + 1)
    latencies.patch.set_visible(False)
    for name, label, colour in (("mail", "mail accepted", _BLUE), ("lake", "JSON in the lake", _RED)):
        for value, style in (("p99", "-"), ("p50", ":")):
            found = [(number + 0.5, hour[name][value]) for number, hour in enumerate(hours) if name in hour]
            latencies.plot(*zip(*found, strict=True), color=colour, linestyle=style, label=f"record → {label}, {value}")
    latencies.set_ylabel("seconds")
    latencies.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncol=4, fontsize=8)
    hour_seconds = measured["seconds"] / len(hours)
    turns = [(at / hour_seconds, age) for at, age in measured["ages"]]
    freshness.plot(*zip(*turns, strict=True), color=_BLUE)
    freshness.set_ylabel("age of the newest row\nof the table, seconds")
    freshness.set_xlabel("simulated hour of the day")
    per_million = {
        part: spent * 1e6 / measured["rows"] for part, spent in sorted(measured["cpu"].items(), key=itemgetter(1))
    }
    cpu.barh(list(per_million), list(per_million.values()), color=_BLUE)
    cpu.set_xlabel("CPU seconds a million records")
    for axes in (latencies, freshness):
        axes.set_xlim(0, len(hours))
        axes.set_xticks(range(0, len(hours) + 1, 3))
        axes.set_ylim(bottom=0)
    for axes in (latencies, records, freshness, cpu):
        axes.spines[["top"]].set_visible(False)
    figure.savefig(target, metadata={"Date": None})


def scaling(measured: dict[str, Any], target: Path) -> None:
    """Draws rates over workers and over partitions, and times over the lake's number of days."""
    points = measured["points"]
    figure = _figure(9, 3.2)
    workers, partitions, days = figure.subplots(1, 3)
    write_lake = {"rows_per_second": ("write_lake", _BLUE)}
    _tried(workers, points["workers"], "workers", write_lake)
    _tried(partitions, points["partitions"], "partitions", {"produced_per_second": ("produce", _RED)} | write_lake)
    times = {"compaction_seconds": ("compaction of a day", _RED), "query_seconds": ("query of a day", _BLUE)}
    _tried(days, points["days"], "days", times)
    for axes, label in ((workers, "records/s"), (partitions, "records/s"), (days, "seconds")):
        axes.set_ylabel(label)
    figure.savefig(target, metadata={"Date": None})


def _tried(axes: Axes, points: list[dict[str, Any]], key: str, lines: dict[str, tuple[str, str]]) -> None:
    for value, (label, colour) in lines.items():
        axes.plot(
            [str(point[key]) for point in points], [point[value] for point in points], "o-", color=colour, label=label
        )
    axes.set_xlabel(key)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.05)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}" if number >= 10 else f"{number:g}"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _figure(width: float, height: float) -> Figure:
    # With a fixed salt the same data give the same file.
    mpl.rcParams |= {"svg.hashsalt": "fraudstream", "svg.fonttype": "none", "font.size": 10}
    return Figure(figsize=(width, height), layout="constrained")


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
    for name, draw, image in (("growth", growth, GROWTH), ("day", day, DAY), ("scaling", scaling, SCALING)):
        source = FOLDER / f"{name}.json"
        if source.exists():
            draw(json.loads(source.read_text()), image)
            sys.stdout.write(f"{image.relative_to(ROOT)}\n")
        else:
            sys.stderr.write(f"{source} is missing: `make benchmark NAME={name}` writes it\n")
