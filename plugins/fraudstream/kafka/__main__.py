"""``python -m fraudstream.kafka``: ``create-topics`` creates topics and registers schemas, ``topics`` compares topics
with their definitions and repairs them, ``dead-letters`` shows invalid records and produces them again.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from fraudstream.errors import FraudstreamError, TopicsDiffer
from fraudstream.kafka.dead_letters import command as dead_letters
from fraudstream.kafka.topic.cluster import register_schemas, wait_for_brokers
from fraudstream.kafka.topic.topics import compare_topics, create_topics, repair_topics
from fraudstream.settings import Settings, get_settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    The code is 1 if topics differ, if dead letters can't be produced again, or if the command failed; a failure is
    printed on standard error.
    """
    parser = argparse.ArgumentParser(prog="python -m fraudstream.kafka", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser(
        "create-topics", help="wait for the brokers, create missing topics, register schemas; safe to repeat"
    )
    create.add_argument("--repair", action="store_true", help="repair existing topics that differ, as `topics` does")
    create.add_argument("--seconds", type=float, default=120, help="longest wait for brokers and registry")
    differ = commands.add_parser("topics", help="compare existing topics with what the pipeline needs")
    differ.add_argument("--repair", action="store_true", help="change configurations and add partitions")
    dead_letters.add_parser(commands)
    options = parser.parse_args(arguments)
    level = logging.WARNING if options.command == "dead-letters" else logging.INFO
    logging.basicConfig(level=level, format="%(message)s")
    try:
        settings = get_settings()
        if options.command == "topics":
            return _topics(settings, repair=options.repair)
        if options.command == "dead-letters":
            return int(options.dead_letters(settings, options, dead_letters.console()))
        wait_for_brokers(settings, seconds=options.seconds)
        _create_topics(settings, repair=options.repair)
        register_schemas(settings, seconds=options.seconds)
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
    """Prints the differences, or those that are left after the repair. Returns 0 if there are none, else 1."""
    differences = repair_topics(settings) if repair else compare_topics(settings)
    for difference in differences:
        print(f"{difference.topic}: {difference.what}\n  {difference.command}")
    if not differences:
        print("all topics are as the pipeline needs them")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
