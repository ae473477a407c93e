"""``python -m local``: starts, stops and inspects the stack.

up [--triggerers N] [--executor local|celery] · down · status · logs [PART] [-f] · clean · start PART · stop PART ·
kill PART · env · run -- COMMAND…
"""

import argparse
import os
import shutil
import subprocess
import sys

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ROOT
from rich.console import Console

from local.stack import show
from local.stack.capacity import require_room
from local.stack.environment import AIRFLOW_HOME, LOGS, STACK, VAR, airflow_login, masked, stack_environment
from local.stack.parts import EXECUTORS, Executor, Shape, shape_of, stack_parts
from local.supervisor.control import Control, StackError


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code. A :class:`FraudstreamError` is printed without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("down", "status", "clean", "env"):
        commands.add_parser(name)
    up = commands.add_parser("up")
    up.add_argument("--triggerers", type=int, choices=range(1, 9), metavar="1…8")
    up.add_argument("--executor", choices=EXECUTORS, help="celery: tasks run on a worker for each queue")
    for name in ("start", "stop", "kill"):
        commands.add_parser(name).add_argument("part")
    logs = commands.add_parser("logs")
    logs.add_argument("part", nargs="?")
    logs.add_argument("-f", "--follow", action="store_true")
    commands.add_parser("run").add_argument("program", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        return _run(options, Control(STACK, LOGS), console)
    except FraudstreamError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


def _run(options: argparse.Namespace, control: Control, console: Console) -> int:
    match options.command:
        case "up":
            return _up(control, console, options.triggerers, options.executor)
        case "down":
            left_over = control.left_over()
            console.print(f"{control.down()} parts stopped")
            if left_over:
                console.print(f"ended {left_over} processes that a killed supervisor had left behind")
        case "clean":
            control.down()
            removed = [folder for folder in (STACK, LOGS, AIRFLOW_HOME, VAR / "demo") if folder.exists()]
            for folder in removed:
                shutil.rmtree(folder)
            console.print(f"removed: {', '.join(str(folder.relative_to(ROOT)) for folder in removed) or 'nothing'}")
        case "status":
            return _status(control, console)
        case "start" | "stop" | "kill":
            control.command(options.command, options.part)
        case "logs":
            return _logs(options.part, options.follow)
        case "run":
            _become(options.program[1:] if options.program[:1] == ["--"] else options.program)
        case "env":
            for name, value in masked(stack_environment()).items():
                console.print(f"{name}={value}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _up(control: Control, console: Console, triggerers: int | None, executor: Executor | None) -> int:
    running = control.status()
    if not running:
        require_room(VAR)
    shape = shape_of(running)
    if running and executor not in {None, shape.executor}:
        raise StackError(f"the stack runs with executor {shape.executor}, not {executor}; stop it first: make down")
    shape = Shape(triggerers or shape.triggerers, executor or shape.executor)
    parts = stack_parts(lambda what: console.print(f"downloading {what}"), shape)
    with show.Progress(console) as progress:
        started = control.up(parts, progress.update)
    user, password = airflow_login()
    if not started:
        console.print("everything is running already")
    console.print(show.addresses(control.status()))
    console.print(f"Airflow login: {user} / {password}", highlight=False)
    return 0


def _status(control: Control, console: Console) -> int:
    if left_over := control.left_over():
        raise StackError(f"the supervisor was killed and {left_over} processes are left; end them with: make down")
    parts = control.status()
    faults = control.faults()
    console.print(show.table(parts, control.memory(), faults) if parts else "the stack isn't running")
    return show.report_problems(parts, faults, console)


def _become(program: list[str]) -> None:
    if not program:
        raise StackError("nothing to run; write: python -m local run -- COMMAND")
    environment = stack_environment()
    os.execvpe(program[0], program, environment)  # noqa: S606 - the user's own command


def _logs(part: str | None, follow: bool) -> int:
    files = [LOGS / f"{part}.log"] if part else sorted(LOGS.glob("*.log"))
    if not files or not all(file.exists() for file in files):
        known = ", ".join(file.stem for file in sorted(LOGS.glob("*.log"))) or "none yet"
        raise StackError(f"no log of {part or 'any part'}; there are logs of: {known}")
    tail = ["tail", "-n", "200" if part else "10", *(["-F"] if follow else []), *map(str, files)]
    return subprocess.run(tail, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
