"""``python -m fraudstream.dataset``: make a file of PaySim's shape, or check one that is there."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pyarrow.compute as pc
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fraudstream.dataset import Position, Rejected, open_source, read_chunks
from fraudstream.dataset.generator import plan, write_file
from fraudstream.errors import FraudstreamError, SettingsError
from fraudstream.settings import get_settings

SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """0: done; 1: `check` found rows that fail their checks; 2: unusable input, said on standard error."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "generate":
            _generate(options)
            return 0
        return _check(options.source)
    except FraudstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fraudstream.dataset", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="generate | check")
    generate = commands.add_parser(
        "generate",
        help="write a file of PaySim's shape",
        description="Writes a CSV with PaySim's header, shares of types and frauds, and balances that add up. The same "
        "rows, seed and frauds give the same bytes everywhere; --rows 6362620 has the published counts.",
    )
    generate.add_argument("--rows", type=int, required=True, metavar="N", help="data rows, at least 1")
    generate.add_argument("--seed", type=_seed, required=True, metavar="S", help="any whole number from 0 on")
    generate.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write; .gz: gzipped")
    generate.add_argument("--frauds", type=int, metavar="K", help="frauds among the rows (PaySim's share, at least 2)")
    check = commands.add_parser(
        "check",
        help="read a file and say which rows would be rejected",
        description="Reads a PaySim CSV (either header form, plain or gzip) as the producer would, and prints what it "
        "found. Exit code 1: rows were rejected; 2: the file can't be read.",
    )
    check.add_argument("source", metavar="FILE | gs://BUCKET/OBJECT", help="what to read")
    return parser


def _seed(text: str) -> int:
    seed = int(text)
    if seed < 0:
        raise argparse.ArgumentTypeError(f"found {seed}, expected 0 or more")
    return seed


def _generate(options: argparse.Namespace) -> None:
    planned = plan(options.rows, options.frauds)
    started = time.monotonic()
    with _progress("rows", planned.rows) as (progress, task):
        write_file(options.out, planned, options.seed, lambda rows: progress.update(task, completed=rows))
    types = ", ".join(f"{name} {count:,}" for name, count in planned.types.items())
    print(
        f"{options.out}: {planned.rows:,} rows ({types}), {planned.frauds:,} frauds, {planned.flagged:,} flagged, "
        f"in {time.monotonic() - started:.1f} s"
    )


def _check(uri: str) -> int:
    source = open_source(uri, _client() if uri.startswith("gs://") else None)
    rows = frauds = rejected = 0
    shown: list[Rejected] = []
    started = time.monotonic()
    with _progress("bytes", source.size) as (progress, task):
        for chunk in read_chunks(source, Position(0, 0), start_date=get_settings().dataset_start_date):
            rows += chunk.rows.num_rows
            frauds += pc.sum(chunk.rows.column("isFraud")).as_py() or 0
            rejected += len(chunk.rejected)
            shown.extend(islice(chunk.rejected, SHOWN - len(shown)))
            progress.update(task, completed=chunk.stored_bytes)
    seconds = time.monotonic() - started
    print(
        f"{uri}: {rows:,} rows, {frauds:,} frauds, {rejected:,} rejected; "
        f"{(rows + rejected) / max(seconds, 1e-9):,.0f} rows/s"
    )
    for line in shown:
        print(f"  line {line.line:,}: {line.reason}")
    if rejected > len(shown):
        print(f"  … and {rejected - len(shown):,} more")
    return 1 if rejected else 0


def _client() -> storage.Client:
    try:
        return storage.Client()  # anonymous where STORAGE_EMULATOR_HOST is set
    except DefaultCredentialsError as error:
        raise SettingsError(f"no Google Cloud credentials for a gs:// source: {error}") from error


@contextmanager
def _progress(unit: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(unit, total=total)


if __name__ == "__main__":
    sys.exit(main())
