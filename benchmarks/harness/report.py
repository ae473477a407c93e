"""The result of a benchmark: printed as a table and as one line of JSON, and added to a history."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from fraudstream.settings import ROOT
from rich.console import Console
from rich.table import Table

from benchmarks.harness.rounds import Figures

OURS = "ours"
#: Name of a subject that does less than the pipeline, without its guarantees. If several subjects have this prefix, the
#: fastest one counts.
CEILING = "ceiling"
KAFKA_PERF_TEST = "ceiling, Kafka's perf test"
#: Name of the file with a line for every run of every benchmark.
HISTORY = "history.jsonl"
_PACKAGES = (
    *("confluent-kafka", "pyarrow", "polars", "pyruhvro", "fastavro", "isal", "duckdb", "pandas", "pyiceberg"),
    *("apache-airflow", "aiosmtplib"),
)


@dataclass
class Report:
    """One benchmark's result; `checks` has the conditions that must hold, each with whether it does."""

    name: str
    unit: str
    figures: Mapping[str, Figures]
    checks: dict[str, bool]
    notes: list[str] = field(default_factory=list)
    also: dict[str, Any] = field(default_factory=dict)
    #: For a benchmark without rounds: its main figure, and the highest memory of a process in MiB.
    single: tuple[float, float] | None = None

    def document(self) -> dict[str, Any]:
        """The result as it is printed and stored."""
        medians = {name: _rounded(figures.median) for name, figures in self.figures.items()}
        ours, peak = self.single or (medians[OURS], self.figures[OURS].peak_rss_mib)
        ceiling = _rounded(fastest_ceiling(self.figures).median) if any(map(_is_ceiling, medians)) else None
        peers = {name: median for name, median in medians.items() if name != OURS and not _is_ceiling(name)}
        return {
            "name": self.name,
            "unit": self.unit,
            "ours": ours,
            "ceiling": ceiling,
            "ratio_to_ceiling": None if ceiling is None else round(ours / ceiling, 3),
            "peers": peers,
            "ratio_to_peers": {name: round(ours / median, 1) for name, median in peers.items()},
            "peak_rss_mib": round(peak),
            "checks": self.checks,
            "rounds": {name: [_rounded(rate) for rate in figures.rates] for name, figures in self.figures.items()},
            **self.also,
        }

    def show(self, console: Console, folder: Path) -> bool:
        """Prints table and JSON, stores the JSON in `folder` and in the history; returns whether every check holds."""
        now, load = datetime.now(UTC), os.getloadavg()[0]
        console.print(f"\n{self.name}, {now:%Y-%m-%d %H:%M} UTC, commit {commit()}, load {load:.1f}; {machine()}")
        if self.figures:
            console.print(self._table())
        for note in self.notes:
            console.print(note)
        for check, holds in self.checks.items():
            console.print(f"{'holds' if holds else 'DOES NOT HOLD'}: {check}")
        document = self.document()
        folder.mkdir(parents=True, exist_ok=True)
        history = folder / HISTORY
        if last := last_of(history, self.name):
            console.print(change(document, last))
        with history.open("a") as file:
            made = {"at": f"{now:%Y-%m-%dT%H:%M:%SZ}", "commit": commit(), "load": load, "machine": machine()}
            file.write(json.dumps(document | made) + "\n")
        (folder / f"{self.name}.json").write_text(json.dumps(document) + "\n")
        print(json.dumps(document))
        return all(self.checks.values())

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for column in (
            "items",
            "rounds",
            f"median {self.unit}",
            "lowest",
            "highest",
            "ours is",
            "process, s",
            "peak RSS MiB",
        ):
            table.add_column(column, justify="right")
        ours = self.figures[OURS].median
        for name, figures in self.figures.items():
            table.add_row(
                name,
                f"{figures.items:,}",
                str(len(figures.rates)),
                *(f"{_rounded(rate):,}" for rate in (figures.median, min(figures.rates), max(figures.rates))),
                "" if name == OURS else f"{ours / figures.median:,.2f} x",
                _process_seconds(figures),
                _peak_rss(figures),
            )
        return table


def fastest_ceiling(figures: Mapping[str, Figures]) -> Figures:
    """The figures of the ceiling with the highest median rate."""
    return max((found for name, found in figures.items() if _is_ceiling(name)), key=lambda found: found.median)


def reaches(ours: Figures, share: float, other: Figures) -> bool:
    """Whether `ours` is at least `share` times as fast as `other`, within the noise.

    Both ran in the same rounds. The median of the rounds' ratios counts; the noise is their median absolute deviation.
    """
    ratios = [mine / theirs for mine, theirs in zip(ours.rates, other.rates, strict=True)]
    median = statistics.median(ratios)
    return median + statistics.median(abs(ratio - median) for ratio in ratios) >= share


def last_of(history: Path, name: str) -> dict[str, Any] | None:
    """The last run of a benchmark in the history; None if there is none."""
    if not history.exists():
        return None
    lines = (json.loads(line) for line in history.read_text().splitlines())
    return next((line for line in reversed(list(lines)) if line["name"] == name), None)


def change(document: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    """A sentence that compares this run with the last one. Overlapping ranges of their rounds count as no change.

    A run of exactly_once without the fault `rate` has no rate.
    """
    if not (document["ours"] and last["ours"]):
        return f"not compared with {last['at']}, commit {last['commit']}: a run has no rate"
    ratio = document["ours"] / last["ours"]
    now, before = (run["rounds"].get(OURS) or [run["ours"]] for run in (document, last))
    apart = min(now) > max(before) or max(now) < min(before)
    verdict = "" if apart else ", within the spread of the rounds"
    return f"against {last['at']}, commit {last['commit']}: ours is {ratio:.2f} x{verdict}"


def commit() -> str:
    """The checkout's commit, with a + if files are changed."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude", "*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _is_ceiling(name: str) -> bool:
    return name.startswith(CEILING)


def _process_seconds(figures: Figures) -> str:
    seconds = [outcome["process_seconds"] for outcome in figures.outcomes if "process_seconds" in outcome]
    return f"{statistics.median(seconds):.2f}" if seconds else ""


def _peak_rss(figures: Figures) -> str:
    """The median peak memory; empty for a subject without its own process."""
    peak = statistics.median(outcome["peak_rss_mib"] for outcome in figures.outcomes)
    return f"{peak:,.0f}" if peak else ""


def _rounded(rate: float) -> float:
    """Rounds to one decimal, and a rate below 1 to four."""
    return round(rate, 1 if rate >= 1 else 4)


def machine() -> str:
    """The machine and the versions that the figures depend on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return (
        f"{os.cpu_count()} cores ({model}), {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {packages}"
    )
