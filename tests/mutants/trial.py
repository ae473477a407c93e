"""``python -m tests.mutants.trial``: tries changes, given as lines of JSON, and prints the result of each.

Runs in a copy of the working tree. The tests' libraries are imported once. Each change is tried in a fork of that
process, with only the tests that run the changed statement: this takes about a second for a change, not a minute.
"""

import contextlib
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.mutants.covering import FOLDERS, Covering, Measuring

#: A change counts as noticed if it makes the tests use this many times the CPU time, or the time after a minute: it
#: would never end.
SLOWER = 5
#: As many of a statement's tests are run as take this many seconds in all.
LONGEST = 60
OPTIONS = ["-q", "-x", "-p", "no:cacheprovider", "-o", "timeout=0", "--hypothesis-profile", "mutants"]
OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # the libraries are imported already
#: Not imported once for all changes: the changed code, and modules that import it.
OWN = {path.name for path in Path.cwd().iterdir()} | {"fraudstream", "coverage", "__main__"}


# The same examples in each run, and no failure because the machine is busy.
settings.register_profile(
    "mutants", derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


class Selected:
    """A pytest plugin: runs only these tests, in this order of modules."""

    def __init__(self, tests: list[str]) -> None:
        self._tests = set(tests)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._tests]


def main() -> None:
    """Measures the coverage unless there is one, then tries the changes of standard input in their order."""
    if not Path("measured.json").exists() and forked(measure, 1800) != 0:
        raise SystemExit(f"unit tests fail before anything is changed:\n{Path('output.txt').read_text()[-3000:]}")
    measured = json.loads(Path("measured.json").read_text())
    covering = Covering(measured["seconds"])
    print(json.dumps({"tests": len(measured["seconds"]), "seconds": sum(measured["seconds"].values())}), flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in measured["modules"]:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    assert "fraudstream" not in sys.modules, "a change would have no effect"
    gc.freeze()
    for line in sys.stdin:
        change = json.loads(line)
        print(json.dumps({"outcome": outcome(covering, **change)}), flush=True)
    os._exit(0)  # skips DuckDB's list of leaked types


def measure() -> int:
    """Runs all tests with coverage; writes their durations, and the modules that they import."""
    measuring = Measuring()
    code = pytest.main([*OPTIONS, *FOLDERS], plugins=[measuring])
    modules = [name for name in list(sys.modules) if name.split(".")[0] not in OWN]
    Path("measured.json").write_text(json.dumps({"seconds": measuring.seconds, "modules": modules}))
    return code


def outcome(covering: Covering, module: str, line: int, after: str) -> str:
    """The result of the tests with a changed module: noticed, survived, uncovered or endless."""
    tests = covering.tests(module, line)
    while len(tests) > 1 and covering.seconds(tests) > LONGEST:
        tests.pop()
    if not tests:
        return "uncovered"
    files = list(dict.fromkeys(test.split("::")[0] for test in tests))
    path = Path(module)
    before, stat = path.read_bytes(), path.stat()
    path.write_text(after)
    try:
        code = forked(
            lambda: pytest.main([*OPTIONS, *files], plugins=[Selected(tests)]),
            covering.seconds(tests) + 2,
        )
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # compiled files are checked by it
    if code is None:
        return "endless"
    return "survived" if code == pytest.ExitCode.OK else "noticed"


def forked(job: Callable[[], int], seconds: float) -> int | None:
    """Runs a job in its own process; returns its exit code, below 0 if it was killed, None if it doesn't end.

    Processes that the job started are ended with it. Time in which the machine sleeps doesn't count.

    :param seconds: the expected duration of the job
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setsid()
            sys.dont_write_bytecode = True
            resource.setrlimit(resource.RLIMIT_CPU, (int(SLOWER * seconds), resource.RLIM_INFINITY))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            output = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            code = int(job())
        except BaseException:  # noqa: BLE001  it ends here, whatever it is
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    waited, last = 0.0, time.monotonic()
    while waited < 60 + SLOWER * seconds:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            kill_rest(child)
            code = os.waitstatus_to_exitcode(status)
            return None if code == -signal.SIGXCPU else code
        time.sleep(0.02)
        now = time.monotonic()
        waited, last = waited + min(now - last, 1), now
    kill_rest(child)
    os.waitpid(child, 0)
    return None


def kill_rest(group: int) -> None:
    """Kills the remaining processes of a process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
