"""``python -m tests.mutants``: changes single places of the code, and looks whether the unit tests notice.

Each package gets an equal share of the time. Of all its mutants, as many as fit are chosen at random and tried in a
copy of the working tree. Those that no test notices are printed with their place, and end the run with exit code 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "var" / "mutants"
COSMIC_RAY = ROOT / ".venvs" / "mutants" / "bin"
#: A mutant that makes the tests so much slower counts as noticed: it never ends.
SLOWER = 5
#: Package under plugins/fraudstream, and the tests under tests/unit that must notice its mutants.
PACKAGES = {
    "kafka/avro": "kafka/test_codec.py kafka/test_registry.py kafka/test_invalid_records.py",
    "kafka/consume": "kafka/test_subscription.py kafka/test_subscription_offsets.py kafka/test_told_offsets.py "
    "kafka/test_librdkafka.py",
    "kafka/dead_letters": "kafka/test_dead_letters.py kafka/test_dead_letter_command.py kafka/test_redrive.py "
    "kafka/test_settling.py",
    "kafka/produce": "kafka/test_publisher.py kafka/test_columns_producer.py",
    "kafka/topic": "kafka/test_topics.py kafka/test_definitions.py",
    "lake/stream": "lake/stream lake/rebase/test_rebase.py",
    "lake/rebase": "lake/rebase/test_rebase.py lake/rebase/test_rebase_audit.py lake/rebase/test_agreement.py",
    "mail/smtp": "mail/test_delivery.py mail/test_connections.py mail/test_pace.py mail/test_server.py",
    "cases": "cases",
}


@dataclass(frozen=True)
class Mutant:
    """A change that was tried."""

    place: str
    operator: str
    diff: str
    noticed: bool


@dataclass(frozen=True)
class Result:
    """What a package's tests noticed."""

    package: str
    all: int
    tried: list[Mutant]

    @property
    def survivors(self) -> list[Mutant]:
        return [mutant for mutant in self.tried if not mutant.noticed]


def main() -> int:
    """Tries mutants of each package; prints the figures and the survivors."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20, help="for all packages together (default 20)")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--package", choices=PACKAGES, help="only this one")
    options = parser.parse_args()
    packages = [options.package] if options.package else list(PACKAGES)
    print(f"seed {options.seed}", flush=True)
    results = []
    for package in packages:
        results.append(tried(package, options.minutes * 60 / len(packages), options.seed))
        show(results[-1])
    return 1 if any(result.survivors for result in results) else 0


def tried(package: str, seconds: float, seed: int) -> Result:
    """Tries as many mutants of a package as fit into the time.

    :raises SystemExit: its tests fail without any change
    """
    deadline = time.monotonic() + seconds
    copy = FOLDER / package.replace("/", "-")
    copy_tree(copy)
    pytest = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    pytest += [f"tests/unit/{name}" for name in PACKAGES[package].split()]
    started = time.monotonic()
    baseline = subprocess.run(pytest, cwd=copy, capture_output=True, text=True, check=False)
    if baseline.returncode:
        raise SystemExit(f"the tests of {package} fail before anything is changed:\n{baseline.stdout[-2000:]}")
    once = time.monotonic() - started
    (copy / "session.toml").write_text(
        "[cosmic-ray]\n"
        f'module-path = "plugins/fraudstream/{package}"\n'
        f"timeout = {SLOWER * once + 10}\n"
        f"test-command = {json.dumps(' '.join(pytest))}\n"
        "excluded-modules = []\n"
        '[cosmic-ray.distributor]\nname = "local"\n'
    )
    cosmic_ray(copy, "init", "session.toml", "session.sqlite")
    # One that a test notices takes half of the time, on average.
    number = max(1, int((deadline - time.monotonic()) / once * 1.5))
    total = run(copy, COSMIC_RAY / "python", "-m", "tests.mutants.sample", "session.sqlite", str(number), str(seed))
    try:
        cosmic_ray(copy, "exec", "session.toml", "session.sqlite", timeout=max(once, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        print(f"{package}: not all of the {number} chosen mutants fitted into the time", flush=True)
    return Result(package, int(total), list(outcomes(cosmic_ray(copy, "dump", "session.sqlite"))))


def copy_tree(copy: Path) -> None:
    """The files of the working tree that git knows or would add."""
    shutil.rmtree(copy, ignore_errors=True)
    names = run(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    # some tests ask git which files there are
    run(copy, "git", "init", "--quiet")
    run(copy, "git", "add", "--all")


def outcomes(dump: str) -> Iterator[Mutant]:
    """The mutants of a session that were tried."""
    for line in dump.splitlines():
        item, result = json.loads(line)
        if result is None or result["test_outcome"] is None:
            continue
        (mutation,) = item["mutations"]
        yield Mutant(
            f"{mutation['module_path']}:{mutation['start_pos'][0]}",
            mutation["operator_name"].removeprefix("core/"),
            result["diff"] or "",
            result["test_outcome"] != "survived",
        )


def show(result: Result) -> None:
    """Figures and survivors of a package."""
    killed = len(result.tried) - len(result.survivors)
    print(f"{result.package}: {result.all} mutants, {len(result.tried)} tried, {killed} noticed", flush=True)
    for mutant in sorted(result.survivors, key=lambda mutant: mutant.place):
        changed = [line for line in mutant.diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
        print(f"  {mutant.place} {mutant.operator}", *changed, sep="\n    ", flush=True)


def cosmic_ray(copy: Path, *arguments: str, timeout: float | None = None) -> str:
    return run(copy, COSMIC_RAY / "cosmic-ray", *arguments, timeout=timeout)


def run(folder: Path, *command: str | Path, timeout: float | None = None) -> str:
    """Output of a command that must succeed."""
    return subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, timeout=timeout).stdout


if __name__ == "__main__":
    sys.exit(main())
