"""``python -m tests.chaos --seed 1 --minutes 5``: injects faults; prints their counts and the verdict.

The exit code is 1 if a promise is broken.

By default the tasks run in Airflow, by their DAGs. With ``--processes`` they run as processes without Airflow.
``--short`` is a round of 40 seconds with processes and fewer faults, which the tests also run.
"""

import argparse
import json
import os
import signal
import sys
import time

#: The number of the run's own stack. Logs and result are in its folder.
STACK_NUMBER = "7"
_SHORT_SECONDS = 40.0


def main() -> int:
    """Restarts this program in its own environment, where it runs the round and prints the result."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the stack is stopped at the end of the run
    if os.environ.get("FRAUDSTREAM_STACK") != STACK_NUMBER:
        _again_for_itself()
    return _run(options)


def _again_for_itself() -> None:
    """Replaces this process: local.stack.environment determines the stack's folder when it is imported."""
    from tests.chaos.stack import free_ports  # noqa: PLC0415  imports local.stack.environment

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FRAUDSTREAM_", "AIRFLOW_"))}
    environment = kept | free_ports() | {"FRAUDSTREAM_STACK": STACK_NUMBER}
    os.execve(sys.executable, [sys.executable, "-m", "tests.chaos", *sys.argv[1:]], environment)  # noqa: S606


def _run(options: argparse.Namespace) -> int:
    from local.stack.environment import VAR  # noqa: PLC0415  see above

    started = time.monotonic()
    seconds = _SHORT_SECONDS if options.short else 60 * options.minutes
    print(f"seed {options.seed}, faults for {seconds:.0f} s, logs in {VAR}", flush=True)
    if options.short or options.processes:
        from tests.chaos import run as processes  # noqa: PLC0415  imports local.stack.environment

        result = processes.run(options.seed, seconds, short=options.short)
    else:
        from tests.chaos.airflow_round import run as in_airflow  # noqa: PLC0415  imports local.stack.environment

        result = in_airflow.run(options.seed, seconds)
    print(f"\n{'fault':<50} {'times':>5} {'hits':>6}")
    for name, times, hits in result.faults:
        print(f"{name:<50} {times:>5} {'' if hits is None else hits:>6}")
    ends = ", ".join(f"{count} {what}" for what, count in sorted(result.ends.items()))
    print(f"\nworkers' ends: {ends}\n")
    for check in result.checks:
        print(f"{'ok    ' if check.ok else 'BROKEN'} {check.promise}: {check.counted}")
        for problem in check.problems:
            print(f"         {problem}")
    took = time.monotonic() - started
    print(f"\nseed {options.seed}: {'nothing lost, nothing doubled' if result.ok else 'BROKEN'} ({took:.0f} s)")
    summary = {
        "seed": options.seed,
        "ok": result.ok,
        "seconds": round(took, 1),
        "faults": [{"name": name, "times": times, "hits": hits} for name, times, hits in result.faults],
        "ends": dict(result.ends),
        "zombies": result.zombies,
        "checks": {check.promise: {"counted": check.counted, "problems": check.problems} for check in result.checks},
    }
    (VAR / "result.json").write_text(json.dumps(summary, indent=1) + "\n")
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main())
