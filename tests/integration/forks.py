"""Runs of a program as forks of one process that has imported its modules: importing takes longer than a run.

As a script, its arguments are the module with the program's ``main()`` and more modules to import. Each line of
standard input is a run: JSON with the arguments and the file for its output. It answers with two lines: the process id,
and at the end of the run its exit code.
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
    """Runs the program; returns its exit code and all its output.

    It is killed with SIGKILL after `kill_after` seconds.
    """

    def __call__(self, *arguments: str, kill_after: float | None = None) -> tuple[int, str]: ...


@contextmanager
def forking(environment: Mapping[str, str], *modules: str) -> Iterator[Run]:
    """Yields a function that runs the program whose ``main()`` is in the first module."""
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
            os.killpg(process.pid, signal.SIGKILL)  # with a run that an interrupted test left


def _serve(*modules: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # modules may print when they are imported
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
    sys.path.pop(0)  # this folder: its modules aren't meant to be imported by their short names
    _serve(*sys.argv[1:])
