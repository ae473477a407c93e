"""What a benchmark found: a table for people, one line of JSON for programs."""

import json
import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Figures

OURS = "ours"
CEILING = "ceiling"
_PACKAGES = ("confluent-kafka", "pyarrow", "polars", "pyruhvro", "fastavro", "isal")


@dataclass
class Report:
    """One benchmark's result; `checks` are what must hold, each true or false."""

    name: str
    unit: str
    figures: Mapping[str, Figures]
    checks: dict[str, bool]
    notes: list[str] = field(default_factory=list)
    also: dict[str, Any] = field(default_factory=dict)
    #: For what isn't measured in rounds: the one figure, and the highest memory of a process.
    single: tuple[float, float] | None = None

    def document(self) -> dict[str, Any]:
        """As it is printed and kept."""
        medians = {name: _rounded(figures.median) for name, figures in self.figures.items()}
        ours, peak = self.single or (medians[OURS], self.figures[OURS].peak_rss_mib)
        ceiling = medians.get(CEILING)
        peers = {name: median for name, median in medians.items() if name not in {OURS, CEILING}}
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
            **self.also,
        }

    def show(self, console: Console, folder: Path) -> bool:
        """Prints table and line, writes the line to `folder`; whether every check holds."""
        console.print(f"\n{self.name}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}")
        if self.figures:
            console.print(self._table())
        for note in self.notes:
            console.print(note)
        for check, holds in self.checks.items():
            console.print(f"{'holds' if holds else 'DOES NOT HOLD'}: {check}")
        document = self.document()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(document) + "\n")
        print(json.dumps(document))
        return all(self.checks.values())

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for column in ("items", "rounds", f"median {self.unit}", "lowest", "highest", "ours is", "peak RSS MiB"):
            table.add_column(column, justify="right")
        ours = self.figures[OURS].median
        for name, figures in self.figures.items():
            table.add_row(
                name,
                f"{figures.items:,}",
                str(len(figures.rates)),
                *(f"{_rounded(rate):,}" for rate in (figures.median, min(figures.rates), max(figures.rates))),
                "" if name == OURS else f"{ours / figures.median:,.2f} x",
                f"{statistics.median(outcome['peak_rss_mib'] for outcome in figures.outcomes):,.0f}",
            )
        return table


def _rounded(rate: float) -> float:
    """Tenths, of the slowest four decimals."""
    return round(rate, 1 if rate >= 1 else 4)


def machine() -> str:
    """What the figures depend on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    return (
        f"{os.cpu_count()} cores ({model}), {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {packages}"
    )
