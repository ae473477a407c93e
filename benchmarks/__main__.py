"""``make benchmark NAME=…``: runs one benchmark on its own stack; without NAME, lists all benchmarks.

The exit code is 0 if every check holds, 1 if one doesn't, and 2 if the benchmark couldn't run.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from fraudstream.errors import FraudstreamError
from rich.console import Console

from benchmarks.harness.report import Report
from benchmarks.harness.stack import FOLDER, own_environment, stack

NAMES = (
    *("produce", "lake", "mail", "latency", "replay"),
    *("compaction", "growth", "audit", "site", "confirmation", "desk", "exactly_once", "day", "scaling"),
)


def main(arguments: list[str]) -> int:
    """Runs a benchmark and returns the exit code."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False, soft_wrap=False)
    modules = {name: f"benchmarks.{name}" for name in NAMES}
    if len(arguments) != 1 or arguments[0] not in modules:
        console.print("make benchmark NAME=…, one of:")
        for name, module in modules.items():
            console.print(f"  {name:<8} {(import_module(module).__doc__ or '').splitlines()[0]}", markup=False)
        return 2 if arguments else 0
    environment = own_environment(os.environ)
    if environment != dict(os.environ):
        # Modules of the local stack read its number when they are imported: start again with the benchmarks' number.
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks", *arguments], environment)  # noqa: S606
    chosen = import_module(modules[arguments[0]])
    benchmark: Callable[[Mapping[str, str], Callable[[str], None]], Report] = chosen.benchmark

    def say(text: str) -> None:
        console.print(text, markup=False)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SystemExit stops the stack, too
    try:
        with stack(say, *([chosen.parts] if hasattr(chosen, "parts") else [])) as started:
            report = benchmark(started, say)
    except FraudstreamError as error:
        console.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    return 0 if report.show(console, FOLDER) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
