"""``python -m tests.fuzz --seed 1 --minutes 10``: arbitrary records on every topic; exit code 1 if one is lost."""

import argparse
import os
import random
import signal
import sys
import time

#: The number of the run's own stack. Its logs are in its folder.
STACK_NUMBER = "8"


def main() -> int:
    """Restarts this program in its own environment, where it runs and prints."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))  # noqa: S311  no secret
    parser.add_argument("--minutes", type=float, default=1.0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the stack is stopped at the end of the run
    if os.environ.get("FRAUDSTREAM_STACK") != STACK_NUMBER:
        from tests.chaos.stack import free_ports  # noqa: PLC0415  imports local.stack.environment

        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRAUDSTREAM_", "AIRFLOW_"))}
        environment = kept | free_ports() | {"FRAUDSTREAM_STACK": STACK_NUMBER}
        arguments = ["--seed", str(options.seed), "--minutes", str(options.minutes)]
        os.execve(sys.executable, [sys.executable, "-m", "tests.fuzz", *arguments], environment)  # noqa: S606
    from local.stack.environment import LOGS  # noqa: PLC0415  reads where the stack lies
    from tests.fuzz.run import run  # noqa: PLC0415  imports local.stack.environment, which reads where the stack lies

    started = time.monotonic()
    print(f"seed {options.seed}, {options.minutes:g} minutes, the consumers' log is {LOGS / 'fuzz.log'}", flush=True)
    result = run(options.seed, 60 * options.minutes)
    for kind, number in sorted(result.written.items()):
        print(f"{kind:<24} {number:>8,}")
    print(f"{'dead letters':<24} {result.dead:>8,}")
    for problem in result.problems:
        print(f"BROKEN {problem}")
    verdict = "BROKEN" if result.problems else "every record in all its effects or one dead letter"
    print(f"seed {options.seed}: {verdict} ({time.monotonic() - started:.0f} s)")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
