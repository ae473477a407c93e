"""``make demo``: starts the stack if it is not running, runs a file through the pipeline, and counts the results.

Writes var/demo/summary.json. The exit code is 0 only if every count agrees. If the demo started the stack, it stops
the stack at its end; on a terminal only after Ctrl-C.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fraudstream.dataset.generator import plan, write_file
from fraudstream.dataset.reader import Position, read_chunks
from fraudstream.dataset.source.source import open_source
from fraudstream.errors import FraudstreamError, SettingsError
from fraudstream.settings import Settings
from rich.console import Console

from local.demo.mails import Inbox, MailFile
from local.demo.play import Play
from local.demo.stages import Stages
from local.demo.summary import Summary, disagreements, table
from local.programs.chromium import NoChromium, find_chromium
from local.programs.postfix import smtp_sink
from local.stack import show
from local.stack.capacity import require_room
from local.stack.environment import (
    LOGS,
    SMTP_CONNECTION,
    STACK,
    VAR,
    airflow_login,
    smtp_connection,
    stack_environment,
    stack_secrets,
)
from local.stack.parts import stack_parts
from local.stack.ports import Ports
from local.supervisor.control import Control

FRAUDS_PER_ROW = 1 / 500
#: With more mails the demo uses smtp-sink: the inbox is slower by some hundred mails a second, and keeps all mails.
INBOX_MAILS = 100_000


def main() -> int:
    """Runs the demo and returns its exit code: 0 if every count agrees, 1 if not or on an error, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--rows", type=int, help="number of rows to generate, or to use from the dataset")
    parser.add_argument("--dataset", type=Path, help="path of your own PaySim file, in any supported format")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    try:
        return Demo(console).run(options.dataset, options.rows)
    except FraudstreamError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def demo_settings(time_limit: int) -> dict[str, str]:
    """The demo's defaults for variables that the user hasn't set.

    The time limit is short, and the envelope sender lets the receiver of returned mails find the case of each mail.

    :param time_limit: seconds within which a customer has to answer
    """
    return {
        "FRAUDSTREAM_CONFIRMATION_TIME_LIMIT_SECONDS": str(time_limit),
        # earlier than by default, so that reminded customers and staff can act within the short limit
        "FRAUDSTREAM_CONFIRMATION_REMINDERS": "0.3",
        "FRAUDSTREAM_CONFIRMATION_ESCALATION": "0.65",
        "FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE": "100000",  # all customers have the same IP address
        "FRAUDSTREAM_MAIL_ENVELOPE_SENDER": "bounces@bank.example",
        "FRAUDSTREAM_MAIL_BOUNCE_KEYS": stack_secrets()["bounce_key"],
    }


class Demo:
    """One run, from file to summary."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._control = Control(STACK, LOGS)
        self._stages = Stages(console)

    def run(self, dataset: Path | None, rows: int | None) -> int:
        """Runs the whole demo and returns the exit code."""
        chromium = self._chromium()
        with self._stages.stage("dataset"):
            path, limit, frauds = self._dataset(dataset, rows)
        with ExitStack() as sinks:
            sink = self._sink(sinks) if limit > INBOX_MAILS else None
            with self._stages.stage("stack"):
                # The time limit of a case grows with the number of frauds: more customers need more time.
                started = self._start(60 + frauds // 8) or sink is not None
            try:
                mails = sink or sinks.enter_context(Inbox(Ports.from_environment().url("inbox"), emptied=True))
                summary = Play(self._stages, chromium).run(path, limit, mails)
                wrong = self._report(summary)
                if sys.stdout.isatty() and started:
                    self._console.print("\nThe stack stays up until Ctrl-C.")
                    with _until_interrupted():
                        time.sleep(1e9)
            finally:
                if started:
                    self._console.print(f"{self._control.down()} parts stopped")
        return 1 if wrong else 0

    def _sink(self, sinks: ExitStack) -> MailFile:
        """Starts smtp-sink in place of the stack's mail server, which is too slow for a large file.

        :raises MissingProgram: smtp-sink isn't on this machine
        :raises SettingsError: a stack runs, with its own mail server
        """
        if self._control.status():
            raise SettingsError(
                f"a demo with more than {INBOX_MAILS:,} rows needs smtp-sink as mail server, but a stack runs with its"
                " own: type `make down`, then try again"
            )
        (VAR / "demo").mkdir(parents=True, exist_ok=True)
        file = Path(sinks.enter_context(TemporaryDirectory(prefix="mails-", dir=VAR / "demo"))) / "mails"
        port = sinks.enter_context(smtp_sink(into=file))
        os.environ[SMTP_CONNECTION] = smtp_connection(port)
        self._console.print(f"more mails than the inbox can take: smtp-sink receives them and writes them to {file}")
        return MailFile(file)

    def _chromium(self) -> str | None:
        """Path of the browser that one customer uses. None if there is none; the reason is printed."""
        try:
            return find_chromium()
        except NoChromium as error:
            self._console.print(f"all customers answer over HTTP, none in a browser: {error}", markup=False)
            return None

    def _dataset(self, dataset: Path | None, rows: int | None) -> tuple[Path, int, int]:
        """The file, the number of its rows to use, and the number of frauds in the whole file."""
        if dataset is None:
            rows = rows or 20_000
            path = VAR / "demo" / f"paysim-{rows}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            frauds = max(2, int(rows * FRAUDS_PER_ROW))
            write_file(path, plan(rows, frauds), 1, lambda _: None)
            return path, rows, frauds
        found = frauds = 0
        start_date = Settings().dataset_start_date
        for chunk in read_chunks(open_source(str(dataset), None), Position(0, 0), start_date=start_date):
            found = chunk.position.row
            frauds += sum(chunk.rows.column("isFraud").to_pylist())
        return dataset, min(rows or found, found), frauds

    def _start(self, time_limit: int) -> bool:
        """Starts the parts of the stack that are not running; True if none was running."""
        wanted = demo_settings(time_limit)
        for name, value in wanted.items():
            os.environ.setdefault(name, value)
        # with the options of the running stack, if one runs
        parts = stack_parts(lambda what: self._console.print(f"downloading {what}"))
        running = bool(self._control.status())
        if not running:
            require_room(VAR)
        environment = self._control.environment("airflow-scheduler")
        if running and (other := [name for name in wanted if environment.get(name) != os.environ[name]]):
            self._console.print(f"the running stack has other values of {', '.join(other)}: restarting it")
            self._control.down()
        with show.Progress(self._console) as progress:
            self._control.up(parts, progress.update)
        os.environ.update(stack_environment())
        return not running

    def _report(self, summary: Summary) -> list[str]:
        path = VAR / "demo" / "summary.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(summary, indent=2) + "\n")
        self._console.print()
        self._console.print(table(summary))
        wrong = disagreements(summary)
        for sentence in wrong:
            self._console.print(f"doesn't agree: {sentence}", style="red")
        if not wrong:
            self._console.print("every count agrees", style="green")
        user, password = airflow_login()
        self._console.print(show.addresses(self._control.status()))
        self._console.print(f"Airflow login: {user} / {password}")
        memory = sum(self._control.memory().values())
        self._console.print(
            f"memory of the stack (PSS): {memory / 2**20:,.0f} MiB; summary: {path.relative_to(VAR.parent)}"
        )
        return wrong


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return


if __name__ == "__main__":
    sys.exit(main())
