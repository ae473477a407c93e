"""``python -m fraudstream.kafka create-topics``: brokers awaited, topics created, schemas registered."""

import argparse
import logging
import sys

from fraudstream.errors import FraudstreamError
from fraudstream.kafka.cluster import create_topics, register_schemas, wait_for_brokers
from fraudstream.settings import get_settings


def main() -> int:
    """Exit code 0 when all is in place, 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m fraudstream.kafka", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser(
        "create-topics", help="wait for the brokers, create missing topics, register schemas; safe to repeat"
    )
    create.add_argument("--seconds", type=float, default=120, help="longest wait for brokers and registry")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = get_settings()
        wait_for_brokers(settings, seconds=arguments.seconds)
        create_topics(settings)
        register_schemas(settings, seconds=arguments.seconds)
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
