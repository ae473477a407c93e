"""``python -m fraudstream.lake``: lists, queries, audits and compacts the lake, and maintains its tables.

Exit codes: 0 success, 1 records are missing, duplicated or different, 2 wrong usage or any other error.
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
from fraudstream.lake.compaction.protocol import TARGET_BYTES, compact
from fraudstream.lake.compaction.upkeep import maintain
from fraudstream.lake.query.printing import FORMATS, console
from fraudstream.lake.query.query import query, refusing
from fraudstream.lake.query.view import TableDay, list_days, open_view, table_days
from fraudstream.lake.rebase.command import REBASED_TOPICS, rebase_command
from fraudstream.lake.stream.names import FOLDERS, day_prefix, parse_object_name
from fraudstream.lake.stream.totals import rows_of
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings, get_settings

OK, NOT_OK, UNUSABLE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(message)s")
    out = console(sys.stdout)
    try:
        settings = get_settings()
        lake = Lake.connect(settings, options.bucket)
        return int(options.command(lake, settings, options, out))
    except ProofFailed as error:
        print(f"lake: {error}", file=sys.stderr)
        return NOT_OK
    except FraudstreamError as error:
        print(f"lake: {error}", file=sys.stderr)
        return UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fraudstream.lake",
        description="List, query, audit and compact the lake, and maintain its tables.",
        epilog="Exit codes: 0 success; 1 records are missing, duplicated or different; 2 wrong usage or other error.",
    )
    parser.add_argument("--bucket", help="bucket without gs:// (default: the setting FRAUDSTREAM_LAKE_BUCKET)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is being done")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--folder", choices=FOLDERS, help="only this folder")
    until = argparse.ArgumentParser(add_help=False)
    until.add_argument(
        "--target-mib", type=int, default=TARGET_BYTES >> 20, help="size of a file, default: %(default)s"
    )

    ls = commands.add_parser("ls", parents=[chosen], help="days of each folder: state, rows, sizes")
    ls.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="only this day (dt=...)")
    ls.set_defaults(command=_ls)
    show = commands.add_parser("show", help="objects and files of a day")
    show.add_argument("folder", choices=FOLDERS)
    show.add_argument("day", type=_day, metavar="YYYY-MM-DD")
    show.set_defaults(command=_show)
    asked = commands.add_parser(
        "query",
        help="run a SQL query",
        description="Views: transaction, fraud_confirmation, case_event, email_confirmation, fraud_case (row per case)",
    )
    asked.add_argument("sql", metavar="SQL", help="one SELECT, in DuckDB's dialect")
    asked.add_argument("--format", choices=FORMATS, default="table", help="default: %(default)s")
    asked.set_defaults(command=_query)
    whole = commands.add_parser("audit", help="compare the topics with the lake and the mail log")
    whole.add_argument("--json", action="store_true", help="print one JSON document, not a table")
    whole.set_defaults(command=_audit)
    smaller = commands.add_parser("compact", parents=[chosen, until], help="move JSON of closed days to the tables")
    smaller.add_argument("--day", type=_day, metavar="YYYY-MM-DD", help="last day (default: yesterday)")
    smaller.add_argument(
        "--keep-json-days", type=_not_negative, default=0.0, metavar="DAYS", help="default: %(default)s"
    )
    smaller.set_defaults(command=_compact)
    back = commands.add_parser(
        "rebase", help="continue with a topic that was recreated, restored or truncated (docs/restore.md)"
    )
    back.add_argument("topic", choices=REBASED_TOPICS)
    back.add_argument("--yes", action="store_true", help="apply the plan; without it, only print it")
    back.set_defaults(command=rebase_command)
    upkeep = commands.add_parser(
        "maintain", parents=[chosen, until], help="rewrite small files, expire snapshots, remove orphan files"
    )
    upkeep.set_defaults(command=_maintain)
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it as 2023-10-07") from None


def _not_negative(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days (0 or more)")
    return days


def _folders(options: argparse.Namespace) -> Sequence[str]:
    return [options.folder] if options.folder else FOLDERS


def _ls(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    table = Table("folder", "day", "state")
    for heading in ("table files", "rows", "bytes", "JSON objects", "rows", "bytes"):
        table.add_column(heading, justify="right")
    for folder in _folders(options):
        for day in list_days(lake, folder):
            if options.day in {None, day}:
                with open_view(lake, folder, first=day, last=day, copy=False) as view:
                    files = table_days(view).get(day, TableDay())
                counts = (
                    files.files,
                    files.rows,
                    files.bytes,
                    len(view.json),
                    sum(rows_of(info.metadata) for info in view.json),
                    sum(info.size for info in view.json),
                )
                state = "JSON" if not files.files else "late JSON" if view.json else "compacted"
                table.add_row(folder, day.isoformat(), state, *(f"{count:,}" for count in counts))
    out.print(table)
    return OK


def _show(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    found = False
    with open_view(lake, options.folder, first=options.day, last=options.day, copy=False) as view:
        for file in view.files():
            found = True
            out.print(f"{file.file_path} {file.record_count:,} rows, {file.file_size_in_bytes:,} bytes", soft_wrap=True)
        counting = {info.name for info in view.json}
    for info in lake.store.list(day_prefix(options.folder, options.day)):
        if parse_object_name(info.name):
            found = True
            what = "JSON" if info.name in counting else "JSON that is in the table"
            out.print(f"{what} {info.name} {info.size:,} bytes {rows_of(info.metadata):,} rows", soft_wrap=True)
    if not found:
        out.print(f"nothing in {options.folder}/ of {options.day}")
    return OK


def _query(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    with query(lake, options.sql) as rows, refusing():
        FORMATS[options.format](rows, sys.stdout)
    return OK


def _audit(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    report = audit(settings, lake)
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        print_report(report, out)
    return OK if report.ok else NOT_OK


def _compact(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    for folder in _folders(options):
        report = compact(
            lake,
            folder,
            options.day or datetime.now(UTC).date() - timedelta(days=1),
            keep_json=timedelta(days=options.keep_json_days),
            target_bytes=options.target_mib << 20,
        )
        days = ", ".join(day.isoformat() for day in report.days) or "no day"
        out.print(
            f"{folder}/ of {days}: {report.json_rows:,} rows of {report.json_objects} JSON objects"
            f" ({report.json_bytes:,} bytes) to {report.files} files of the table ({report.file_bytes:,}"
            f" bytes), {report.deleted_objects} objects deleted, {report.seconds:.1f} s",
            soft_wrap=True,
        )
    return OK


def _maintain(lake: Lake, settings: Settings, options: argparse.Namespace, out: Console) -> int:
    for folder in _folders(options):
        report = maintain(
            lake,
            folder,
            datetime.now(UTC).date(),
            keep=timedelta(hours=settings.lake_keep_snapshots_hours),
            target_bytes=options.target_mib << 20,
        )
        out.print(
            f"{folder}/: {report.files_before} small files of {len(report.days)} days became {report.files_after},"
            f" {report.snapshots} snapshots expired, {report.orphans} orphan files deleted",
            soft_wrap=True,
        )
    return OK


if __name__ == "__main__":
    sys.exit(main())
