"""``python -m fraudstream.kafka``: ``create-topics`` sets up topics and schemas, ``topics`` compares and repairs."""

import argparse
import logging
import sys

from fraudstream.errors import FraudstreamError, TopicsDiffer
from fraudstream.kafka.cluster import register_schemas, wait_for_brokers
from fraudstream.kafka.topics import compare_topics, create_topics, repair_topics
from fraudstream.settings import Settings, get_settings


def main() -> int:
    """Exit code 0 when all is in place, 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m fraudstream.kafka", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser(
        "create-topics", help="wait for the brokers, create missing topics, register schemas; safe to repeat"
    )
    create.add_argument("--repair", action="store_true", help="repair existing topics that differ, as `topics` does")
    create.add_argument("--seconds", type=float, default=120, help="longest wait for brokers and registry")
    differ = commands.add_parser("topics", help="compare existing topics with what the pipeline needs")
    differ.add_argument("--repair", action="store_true", help="change configurations and add partitions")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        settings = get_settings()
        if arguments.command == "topics":
            return _topics(settings, repair=arguments.repair)
        wait_for_brokers(settings, seconds=arguments.seconds)
        _create_topics(settings, repair=arguments.repair)
        register_schemas(settings, seconds=arguments.seconds)
    except FraudstreamError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _create_topics(settings: Settings, *, repair: bool) -> None:
    try:
        create_topics(settings)
    except TopicsDiffer:
        if not repair or repair_topics(settings):
            raise


def _topics(settings: Settings, *, repair: bool) -> int:
    """Exit code 0 when nothing differs (any more)."""
    differences = repair_topics(settings) if repair else compare_topics(settings)
    for difference in differences:
        print(f"{difference.topic}: {difference.what}\n  {difference.command}")
    if not differences:
        print("all topics are as the pipeline needs them")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
