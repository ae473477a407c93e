"""``python -m fraudstream trace ID``: what happened to one transaction, from its row in a file to its row in a table.

Exit codes: 0 nothing is missing, 1 a step is missing or still to come, 2 wrong usage or a service can't be reached.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence

from fraudstream.desk.trace import trace
from fraudstream.errors import FraudstreamError
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import get_settings

OK, NOT_ALL, UNUSABLE = 0, 1, 2
_LONGEST_ID = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        settings = get_settings()
        line = trace(settings, Lake.connect(settings), options.id, whole=options.whole)
    except FraudstreamError as error:
        print(f"trace: {error}", file=sys.stderr)
        return UNUSABLE
    print(json.dumps(line.to_dict()) if options.json else "\n".join(line.lines()))
    return NOT_ALL if line.missing else OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m fraudstream",
        epilog="Exit codes: 0 nothing is missing; 1 a step is missing or still to come; 2 wrong usage or unreachable.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    one = commands.add_parser(
        "trace",
        help="the time line of one transaction",
        description="File row, record, mails, events, answers and lake rows of one transaction, and what is missing."
        " The lake is searched first; then topics from where the lake ends, or in the partition of the key.",
    )
    one.add_argument("id", type=_id, metavar="ID", help="idTransaction, such as 738e366774-000000042")
    one.add_argument("--json", action="store_true", help="print one JSON document, not text")
    one.add_argument(
        "--whole",
        action="store_true",
        help="read topics from their beginnings: finds what the lake lost, and what was written before partitions were"
        " added",
    )
    return parser


def _id(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_ID or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text[:50]!r} is not an id of a transaction")
    return text


if __name__ == "__main__":
    sys.exit(main())
