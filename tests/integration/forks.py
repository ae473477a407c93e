"""Runs of a program that fork from one process, which has imported its modules: that takes longer than what they do.

As a script, arguments: module with the program's ``main()``, more modules. A line of standard input is a run: JSON with
arguments, and the file for what it prints. Answered with two lines, the process id and, at its end, the exit code.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol


class Run(Protocol):
    """Runs the program; returns its exit code, and what it printed to both of its outputs.

    After `kill_after` seconds it gets SIGKILL.
    """

    def __call__(self, *arguments: str, kill_after: float | None = None) -> tuple[int, str]: ...


@contextmanager
def forking(environment: Mapping[str, str], *modules: str) -> Iterator[Run]:
    """Runs of the program whose ``main()`` is in the first module."""
    with (
        TemporaryDirectory() as folder,
        subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        output = Path(folder) / "output"

        def run(*arguments: str, kill_after: float | None = None) -> tuple[int, str]:
            print(json.dumps([arguments, str(output)]), file=process.stdin, flush=True)
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            if kill_after is not None:
                time.sleep(kill_after)
                with suppress(ProcessLookupError):  # it has ended
                    os.kill(pid, signal.SIGKILL)
            return int(process.stdout.readline()), output.read_text()

        try:
            yield run
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with the run that an interrupted test left


def _serve(*modules: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # for what modules print when they are imported
    program, *_ = [importlib.import_module(module) for module in modules]
    for line in sys.stdin:
        arguments, output = json.loads(line)
        pid = os.fork()
        if pid == 0:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, 1)
            os.dup2(file, 2)
            sys.argv = [modules[0], *arguments]
            sys.exit(program.main())
        print(pid, file=answers, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules have names of their own
    _serve(*sys.argv[1:])
