"""``python -m fraudstream.dataset``: generate a file like PaySim's, or check an existing file."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fraudstream.dataset.check import check
from fraudstream.dataset.generator import plan, write_file
from fraudstream.dataset.source.source import open_source
from fraudstream.errors import FraudstreamError, SettingsError
from fraudstream.settings import get_settings

_EXIT_CODES = """exit codes:
  0  every row is valid
  1  the file can be read, and some of its rows would be rejected
  2  the producer would refuse the file, or it can't be read: the message on standard error says why
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code. 0: done; 1: `check` found invalid rows; 2: an error, printed on standard error."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(
                errors="backslashreplace"
            )  # names and messages that the terminal's encoding doesn't have
    try:
        if options.command == "generate":
            _generate(options)
            return 0
        return _check(options.source, as_json=options.json)
    except FraudstreamError as error:
        if options.command == "check" and options.json:
            print(json.dumps({"file": options.source, "error": type(error).__name__, "message": str(error)}))
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
        description="Reads a PaySim file as the producer would (CSV in any known form; plain, gzip, zip or zstd), and "
        "prints its form, the notation of its numbers, its rows, and the most frequent reasons of rejected ones.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("source", metavar="FILE | gs://BUCKET/OBJECT", help="what to read")
    check.add_argument("--json", action="store_true", help="one line of JSON instead of tables; errors have one, too")
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


def _check(uri: str, *, as_json: bool) -> int:
    source = open_source(uri, _client() if uri.startswith("gs://") else None)
    started = time.monotonic()
    with _progress("bytes", source.size) as (progress, task):
        found = check(source, get_settings().dataset_start_date, lambda stored: progress.update(task, completed=stored))
    seconds = time.monotonic() - started
    if as_json:
        print(json.dumps(found.to_json()))
        return 1 if found.rejected else 0
    print(
        f"{uri}: {found.rows:,} rows, {found.frauds:,} frauds, {found.rejected:,} rejected; "
        f"{(found.rows + found.rejected) / max(seconds, 1e-9):,.0f} rows/s"
    )
    console = Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False)
    for table in found.tables():
        console.print()
        console.print(table)
    return 1 if found.rejected else 0


def _client() -> storage.Client:
    try:
        return storage.Client()  # anonymous where STORAGE_EMULATOR_HOST is set
    except DefaultCredentialsError as error:
        raise SettingsError(f"no Google Cloud credentials for a gs:// source: {error}") from error


@contextmanager
def _progress(unit: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield progress, progress.add_task(unit, total=total)


if __name__ == "__main__":
    sys.exit(main())
