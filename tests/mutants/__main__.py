"""``python -m tests.mutants``: changes single places of the code, and checks whether the unit tests notice.

In each package a number of changes is chosen at random; the same seed chooses the same changes of the same code. They
are tried in a copy of the working tree. A change that no test notices is printed with its place, and makes the exit
code 1.
"""

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "var" / "mutants"
SAMPLING = ROOT / ".venvs" / "mutants" / "bin" / "python"
#: Default packages under plugins/fraudstream.
PACKAGES = ["kafka", "lake/stream", "mail/smtp", "cases"]
UNNOTICED = ("survived", "uncovered")


@dataclass
class Result:
    """The results of a package's sample."""

    places: int
    outcomes: list[str] = field(default_factory=list)

    def count(self, *outcomes: str) -> int:
        return sum(outcome in outcomes for outcome in self.outcomes)


def main() -> int:
    """Tries a sample of each package; prints the surviving changes and the figures."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--number", type=int, default=60, help="changes of each package (default 60)")
    parser.add_argument("--seed", type=int, default=20, help="chooses the changes (default 20)")
    parser.add_argument("--package", help=f"only this folder of plugins/fraudstream (default {', '.join(PACKAGES)})")
    parser.add_argument("--again", action="store_true", help="the tree of the last run, whose coverage is known")
    options = parser.parse_args()
    os.nice(19)
    if options.again:
        git(COPY, "checkout", "--quiet", "--", ".")  # a killed run leaves its last change
    else:
        copy_tree()
        print("The unit tests run once, to see which lines each of them covers: some minutes …", flush=True)
    command = [sys.executable, "-m", "tests.mutants.trial"]
    environment = os.environ | {"PYTHONPATH": "plugins"}
    results = {}
    with subprocess.Popen(
        command, cwd=COPY, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as trial:
        measured = answer(trial.stdout)
        print(f"{measured['tests']} unit tests, {measured['seconds']:.0f} s", flush=True)
        for package in [options.package] if options.package else PACKAGES:
            results[package] = tried(package, options.number, options.seed, trial)
        trial.stdin.close()
    Console().print(table(results))
    return 1 if any(result.count(*UNNOTICED) for result in results.values()) else 0


def tried(package: str, number: int, seed: int, trial: subprocess.Popen[str]) -> Result:
    """Tries a sample of a package's changes, and prints the survivors."""
    sampling = [SAMPLING, "-m", "tests.mutants.sample", str(seed), str(number), f"plugins/fraudstream/{package}"]
    places, *changes = subprocess.run(
        sampling, cwd=COPY, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.splitlines()
    result = Result(int(places))
    started = time.monotonic()
    for line in changes:
        change = json.loads(line)
        operator = change.pop("operator")
        print(json.dumps(change), file=trial.stdin, flush=True)
        result.outcomes.append(answer(trial.stdout)["outcome"])
        if result.outcomes[-1] in UNNOTICED:
            place = f"{change['module']}:{change['line']}"
            print(f"{place} {operator}: {result.outcomes[-1]}", *diff(change), sep="\n    ", flush=True)
        if len(result.outcomes) % 10 == 0:
            each = (time.monotonic() - started) / len(result.outcomes)
            unnoticed = result.count(*UNNOTICED)
            print(
                f"{package}: {len(result.outcomes)} of {len(changes)}, {unnoticed} unnoticed, {each:.1f} s each",
                flush=True,
            )
    return result


def answer(stream: IO[str]) -> dict[str, object]:
    """The next line of the trial's output.

    :raises SystemExit: the trial has ended
    """
    line = stream.readline()
    if not line:
        raise SystemExit("the trial of the changes has ended early; see the lines above")
    return json.loads(line)


def diff(change: dict[str, str]) -> list[str]:
    """The changed lines before and after the change."""
    before = (COPY / change["module"]).read_text().splitlines()
    lines = difflib.unified_diff(before, change["after"].splitlines(), n=0, lineterm="")
    return [line for line in lines if line[:3] not in {"---", "+++", "@@ "}]


def copy_tree() -> None:
    """Copies the files of the working tree that git tracks or would add."""
    shutil.rmtree(COPY, ignore_errors=True)
    names = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, COPY / name)
    # Some tests ask git for the list of files.
    git(COPY, "init", "--quiet")
    git(COPY, "add", "--all")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


def table(results: dict[str, Result]) -> Table:
    """The figures by package, as a table."""
    table = Table("package", "places", "tried", "noticed", "endless", "survived", "not covered", box=None)
    for package, result in results.items():
        counts = [result.count(outcome) for outcome in ("noticed", "endless", "survived", "uncovered")]
        table.add_row(package, *map(str, [result.places, len(result.outcomes), *counts]))
    return table


if __name__ == "__main__":
    sys.exit(main())
