"""``python -m fraudstream.cases decide`` decides a case for a customer who called, or corrects an earlier answer.

It refuses a case of at least FRAUDSTREAM_DESK_SECOND_PERSON_AMOUNT: two people decide such a case at the page Cases.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from fraudstream.cases.answers.decisions import OUTCOMES, decide
from fraudstream.errors import FraudstreamError
from fraudstream.process_user import add_by
from fraudstream.settings import get_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns exit code 0 once the decision is durable, or 1 after an error, which is written to standard error."""
    parser = argparse.ArgumentParser(prog="python -m fraudstream.cases", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("decide", help="write a staff decision; safe to repeat")
    made.add_argument("case", metavar="ID", help="idTransaction of the case")
    made.add_argument("--outcome", required=True, choices=OUTCOMES)
    add_by(made, "the person who decides")
    made.add_argument("--reason", required=True, help="the reason, for an auditor")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        found = decide(get_settings(), options.case, options.outcome, by=options.by, reason=options.reason)
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        return 1
    partition, offset = found.place
    where = f"partition {partition}, offset {offset} of topic fraud_confirmation"
    if not found.written:
        print(f"case {options.case}: this decision is there already, {where}")
    else:
        instead = f", instead of {found.superseded}" if found.superseded else ""
        print(f"case {options.case} is {options.outcome}{instead}: {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
