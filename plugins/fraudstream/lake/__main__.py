"""``python -m fraudstream.lake``: look at the lake, ask it, prove it, compact it.

Exit codes: 0 all is well, 1 something is missing, doubled or different, 2 wrong usage or something can't be reached.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from rich.console import Console
from rich.table import Table

from fraudstream.errors import FraudstreamError, ProofFailed
from fraudstream.lake.audit.audit import audit
from fraudstream.lake.audit.report import print_report
from fraudstream.lake.compaction.compaction import TARGET_BYTES, compact
from fraudstream.lake.compaction.verification import verify
from fraudstream.lake.query.printing import FORMATS, console
from fraudstream.lake.query.query import query, refusing
from fraudstream.lake.query.reading import DayListing, list_day, list_days
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.stream.rebase_command import REBASED_TOPICS, rebase_command
from fraudstream.lake.stream.totals import rows_of
from fraudstream.lake.table.bigquery import external_table
from fraudstream.settings import Settings, get_settings

OK, NOT_OK, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    out = console(sys.stdout)
    try:
        settings = get_settings()
        store = Store.connect(options.bucket or settings.lake_bucket)
        return int(options.command(store, settings, options, out))
    except ProofFailed as error:
        print(f"lake: {error}", file=sys.stderr)
        return NOT_OK
    except FraudstreamError as error:
        print(f"lake: {error}", file=sys.stderr)
        return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fraudstream.lake",
        description="Look at the lake, ask it, prove it, compact it.",
        epilog="Exit codes: 0 all is well; 1 something is missing, doubled or different; 2 wrong usage or unreachable.",
    )
    parser.add_argument("--bucket", help="bucket without gs:// (default: the setting FRAUDSTREAM_LAKE_BUCKET)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--folder", choices=FOLDERS, help="only this folder")
    chosen.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="only this day (dt=...)")

    ls = commands.add_parser("ls", parents=[chosen], help="days of each folder: state, rows, sizes")
    ls.set_defaults(command=_ls)
    show = commands.add_parser("show", help="objects and compactions of a day")
    show.add_argument("folder", choices=FOLDERS)
    show.add_argument("day", type=_day, metavar="YYYY-MM-DD")
    show.set_defaults(command=_show)
    proof = commands.add_parser("verify", parents=[chosen], help="read everything again and compare with the manifests")
    proof.set_defaults(command=_verify)
    asked = commands.add_parser(
        "query",
        help="answer SQL",
        description="Views: transaction, fraud_confirmation, email_confirmation, fraud_case (a row a case).",
    )
    asked.add_argument("sql", metavar="SQL", help="one SELECT, in DuckDB's dialect")
    asked.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    asked.set_defaults(command=_query)
    ddl = commands.add_parser("bigquery", help="print DDL for external tables over the compacted days")
    ddl.add_argument("dataset", help="of BigQuery: dataset, or project.dataset")
    ddl.set_defaults(command=_bigquery)
    whole = commands.add_parser("audit", help="compare the topics' offsets with lake and mail log")
    whole.add_argument("--json", action="store_true", help="print one JSON document, not a table")
    whole.set_defaults(command=_audit)
    smaller = commands.add_parser("compact", parents=[chosen], help="turn JSON of closed days into Parquet")
    smaller.add_argument(
        "--keep-json-days", type=_not_negative, default=0.0, metavar="DAYS", help="default: %(default)s"
    )
    smaller.add_argument(
        "--target-mib", type=int, default=TARGET_BYTES >> 20, help="size of a file, default: %(default)s"
    )
    smaller.set_defaults(command=_compact)
    back = commands.add_parser(
        "rebase", help="go on with a topic that was recreated, restored or truncated (docs/restore.md)"
    )
    back.add_argument("topic", choices=REBASED_TOPICS)
    back.add_argument("--yes", action="store_true", help="do it; without it, only say what would be done")
    back.set_defaults(command=rebase_command)
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it like 2023-10-07") from None


def _not_negative(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 0 on")
    return days


def _chosen(store: ObjectStore, options: argparse.Namespace) -> list[tuple[str, date]]:
    """Folders and days that the options ask for."""
    return [
        (folder, day)
        for folder in ([options.folder] if options.folder else FOLDERS)
        for day in list_days(store, folder)
        if options.day in {None, day}
    ]


def _ls(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    table = Table("folder", "day", "state")
    for heading in ("Parquet files", "rows", "bytes", "JSON objects", "rows", "bytes", "compacted JSON"):
        table.add_column(heading, justify="right")
    for folder, day in _chosen(store, options):
        listing = list_day(store, folder, day)
        files = listing.manifest.files
        counts = (
            len(files),
            listing.manifest.rows,
            sum(file.size for file in files),
            len(listing.json),
            sum(rows_of(info.metadata) for info in listing.json),
            sum(info.size for info in listing.json),
            len(listing.covered),
        )
        table.add_row(folder, day.isoformat(), _state(listing), *(f"{count:,}" for count in counts))
    out.print(table)
    return OK


def _state(listing: DayListing) -> str:
    if not listing.json:
        return "compacted"
    return "late JSON" if listing.manifest.compactions else "JSON"


def _show(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    listing = list_day(store, options.folder, options.day)
    for compaction in listing.manifest.compactions:
        out.print(f"compacted {compaction.at}: {compaction.rows:,} rows, checksum {compaction.checksum:016x}")
        for range_ in compaction.ranges:
            out.print(f"  offsets {range_}", highlight=False, markup=False)
        for file in compaction.files:
            out.print(f"  {file.name} {file.rows:,} rows, {file.size:,} bytes", soft_wrap=True)
    for what, infos in (("JSON", listing.json), ("compacted JSON", listing.covered), ("stray", listing.strays)):
        for info in infos:
            out.print(f"{what} {info.name} {info.size:,} bytes {info.metadata.get('rows', '?')} rows", soft_wrap=True)
    if listing.manifest.generation == 0 and not listing.json:
        out.print(f"nothing in {options.folder}/ of {options.day}")
    return OK


def _verify(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    problems = 0
    for folder, day in _chosen(store, options):
        found = verify(store, folder, day)
        problems += len(found.problems)
        out.print(
            f"{folder}/ of {day}: {found.parquet_rows:,} rows in {found.parquet_files} Parquet files,"
            f" {found.json_rows:,} in {found.json_objects} JSON objects: {'NOT OK' if found.problems else 'ok'}"
        )
        for problem in found.problems:
            out.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
    return NOT_OK if problems else OK


def _query(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    with query(store, options.sql) as rows, refusing():
        FORMATS[options.format](rows, sys.stdout)
    return OK


def _bigquery(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    statements = [external_table(store, folder, options.dataset) for folder in FOLDERS]
    print("\n\n".join(statement for statement in statements if statement))
    return OK


def _audit(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    report = audit(settings, store)
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        print_report(report, out)
    return OK if report.ok else NOT_OK


def _compact(store: ObjectStore, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    today = datetime.now(UTC).date()
    for folder, day in _chosen(store, options):
        if day >= today and options.day is None:
            continue  # still being written; compacted when asked for by name
        report = compact(
            store,
            folder,
            day,
            keep_json=timedelta(days=options.keep_json_days),
            target_bytes=options.target_mib << 20,
        )
        out.print(
            f"{folder}/ of {day}: {report.json_rows:,} rows of {report.json_objects} JSON objects"
            f" ({report.json_bytes:,} bytes) to {report.parquet_files} Parquet files ({report.parquet_bytes:,} bytes),"
            f" {report.deleted_objects} objects deleted, {report.seconds:.1f} s",
            soft_wrap=True,
        )
    return OK


if __name__ == "__main__":
    sys.exit(main())
