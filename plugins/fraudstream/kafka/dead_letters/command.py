"""``python -m fraudstream.kafka dead-letters ls | show | redrive``."""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from fraudstream.errors import KafkaError
from fraudstream.kafka.dead_letters.inspection import inspect, moment, text_of
from fraudstream.kafka.dead_letters.letters import DeadLetter, read_dead_letters
from fraudstream.kafka.dead_letters.redrive import Redriven, redrive
from fraudstream.kafka.records import INGEST_DEAD_LETTER
from fraudstream.kafka.topic.definitions import DEAD_LETTER_ROLES
from fraudstream.kafka.topic.topic_reader import TopicReader
from fraudstream.settings import Settings

#: Topics whose consumers send dead letters.
SOURCES = sorted(DEAD_LETTER_ROLES)
_LISTED = [*SOURCES, INGEST_DEAD_LETTER]
_WHERE = f"topic that the invalid records were read from: {', '.join(SOURCES)}"
_DONE, _LEFT = 0, 1

Command = Callable[[Settings, argparse.Namespace, Console], int]


def add_parser(commands: Any) -> None:
    """Adds the command to those of ``python -m fraudstream.kafka``."""
    parser = commands.add_parser("dead-letters", help="show invalid records, and produce them again")
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="JSON instead of tables")

    ls = actions.add_parser("ls", parents=[common], help="the number of dead letters, by topic and reason")
    ls.add_argument("topic", nargs="*", type=_topic, help=f"only these topics; default: {', '.join(_LISTED)}")
    ls.add_argument("--all", action="store_true", help="a line for each dead letter")
    ls.set_defaults(dead_letters=_ls)

    show = actions.add_parser(
        "show",
        parents=[common],
        help="the dead letter at an offset, decoded as far as possible; if the topic was recreated, all of that offset",
    )
    show.add_argument("topic", choices=SOURCES, metavar="topic", help=_WHERE)
    show.add_argument("partition", type=int)
    show.add_argument("offset", type=int)
    show.set_defaults(dead_letters=_show)

    again = actions.add_parser(
        "redrive",
        parents=[common],
        help="produce dead letters again to their topic, each once",
        description="Produces the dead letters of a topic again with their key, value, headers and partition, each "
        "only once even if this command is repeated. Dead letters that would be invalid again, or that the brokers "
        "refuse, are left. If a schema was unknown, it first waits 30 s until consumers look the schema up again.",
        epilog="Exit codes: 0 all chosen dead letters are produced, 1 some are left or the command failed.",
    )
    again.add_argument("topic", choices=SOURCES, metavar="topic", help=_WHERE)
    again.add_argument("--reason", metavar="TEXT", help="only those whose reason begins with TEXT")
    again.add_argument("--partition", type=int, metavar="N", help="only those of partition N")
    again.add_argument("--offset", type=int, metavar="N", help="only those at offset N")
    again.add_argument("--limit", type=int, metavar="N", help="at most N dead letters")
    again.add_argument("--force", action="store_true", help="also those that are still invalid")
    again.add_argument("--dry-run", action="store_true", help="only print what would be done")
    again.set_defaults(dead_letters=_redrive)


def _topic(name: str) -> str:
    if name not in _LISTED:
        raise argparse.ArgumentTypeError(f"{name!r} has no dead letters, expected one of {', '.join(_LISTED)}")
    return name


def _ls(settings: Settings, options: argparse.Namespace, out: Console) -> int:
    letters = [letter for topic in options.topic or _LISTED for letter in _letters(settings, topic)]
    rows = [_line(letter) for letter in letters] if options.all else _counts(letters)
    _print(rows, options, out, "no dead letters")
    return _DONE


def _letters(settings: Settings, topic: str) -> list[DeadLetter]:
    if topic != INGEST_DEAD_LETTER:
        return read_dead_letters(settings, topic)
    with TopicReader(settings, topic) as reader:
        return [DeadLetter.of_rejected_row(message) for message in reader.read()]


def _counts(letters: list[DeadLetter]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        groups[letter.partition.topic, letter.kind].append(letter)
    return [
        {
            "topic": topic,
            "reason": kind,
            "records": len(group),
            "redriven": sum(letter.redriven_at is not None for letter in group),
            "first": moment(min(letter.written_at for letter in group)),
            "last": moment(max(letter.written_at for letter in group)),
        }
        for (topic, kind), group in sorted(groups.items())
    ]


def _line(letter: DeadLetter) -> dict[str, Any]:
    return {
        "topic": letter.partition.topic,
        "partition": letter.partition.number,
        "offset": letter.offset,
        "written": moment(letter.written_at),
        "redriven": moment(letter.redriven_at),
        "key": text_of(letter.key),
        "reason": letter.reason,
    }


def _show(settings: Settings, options: argparse.Namespace, out: Console) -> int:
    # After a topic is recreated, several records may have had this offset.
    letters = [
        letter
        for letter in read_dead_letters(settings, options.topic)
        if (letter.partition.number, letter.offset) == (options.partition, options.offset)
    ]
    if not letters:
        raise KafkaError(
            f"{options.topic}[{options.partition}] offset {options.offset} is no dead letter; "
            f"`python -m fraudstream.kafka dead-letters ls {options.topic} --all` lists those of the topic"
        )
    for letter in letters:
        found = inspect(settings, letter)
        parts = {"value": found.pop("value"), "header": found.pop("headers")}
        if options.json:
            print(json.dumps(found | parts))
        else:
            flat = found | {f"{part} {name}": text for part, names in parts.items() for name, text in names.items()}
            fields = flat.pop("value fields", {})
            flat |= {f"field {name}": content for name, content in fields.items()}
            _print([{"": name, letter.kind: content} for name, content in flat.items()], options, out, "")
    return _DONE


def _redrive(settings: Settings, options: argparse.Namespace, out: Console) -> int:
    def chosen(letter: DeadLetter) -> bool:
        return (
            letter.reason.startswith(options.reason or "")
            and options.partition in {None, letter.partition.number}
            and options.offset in {None, letter.offset}
        )

    done = redrive(settings, options.topic, chosen, force=options.force, dry_run=options.dry_run, most=options.limit)
    if options.json:
        print(json.dumps(_summary(done, dry_run=options.dry_run)))
    else:
        rows = [{"partition": x.partition.number, "offset": x.offset, "why": why} for x, why in done.left]
        _print(rows, options, out, "none is left")
        what = "would be produced" if options.dry_run else "are produced"
        out.print(
            f"{len(done.produced):,} {what} again to {done.topic}; {len(done.before):,} were before; "
            f"{len(done.left):,} are left"
        )
    return _LEFT if done.left else _DONE


def _summary(done: Redriven, *, dry_run: bool) -> dict[str, Any]:
    return {
        "topic": done.topic,
        "dryRun": dry_run,
        "produced": [[letter.partition.number, letter.offset] for letter in done.produced],
        "before": len(done.before),
        "left": [[letter.partition.number, letter.offset, why] for letter, why in done.left],
    }


def _print(rows: list[dict[str, Any]], options: argparse.Namespace, out: Console, empty: str) -> None:
    if options.json:
        for row in rows:
            print(json.dumps(row))
    elif not rows:
        out.print(empty)
    else:
        table = Table(*rows[0])
        for row in rows:
            table.add_row(*("" if content is None else str(content) for content in row.values()))
        out.print(table)


def console() -> Console:
    """The console for tables and messages. If the output is not a terminal, lines are neither cut nor wrapped."""
    return Console(width=None if sys.stdout.isatty() else 10_000, markup=False, highlight=False)
