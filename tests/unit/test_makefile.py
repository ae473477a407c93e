"""Every target of the Makefile fails if one of its commands fails, and runs nothing after it.

The programs are stubs that record their calls; one call of each run ends with exit code 3.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fraudstream.settings import ROOT

PROGRAMS = {
    ".venv": ["python", "uv", "ruff", "mypy", "pytest"],
    ".venvs/docs": ["mkdocs"],
    ".venvs/checkov": ["checkov"],
    ".venvs/checks": ["hadolint", "check-jsonschema", "shellcheck", "pip-licenses"],
    ".venvs/kaskade": [],
    ".venvs/quixstreams": [],
    ".venvs/mutants": [],
    ".venvs/image-airflow": [],
    ".venvs/image-site": [],
}
STUB = """#!/bin/sh
echo "$0 $*" >> calls
[ "$(wc -l < calls)" -ne "${FAILING_CALL:-0}" ] || exit 3
"""
TARGETS = sorted(
    set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()) - {"help"}
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the Makefile, the requirements, and environments that are up to date but contain only stubs."""
    for pattern in (
        "Makefile",
        "pyproject.toml",
        "requirements*",
        "*/requirements*",
        "tests/mutants/requirements*",
        "docs/diagrams.py",
    ):
        for file in ROOT.glob(pattern):
            (tmp_path / file.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, tmp_path / file.relative_to(ROOT))
    stub = tmp_path / "stub"
    stub.write_text(STUB)
    stub.chmod(0o755)
    for environment, programs in PROGRAMS.items():
        (tmp_path / environment / "bin").mkdir(parents=True)
        for program in programs:
            (tmp_path / environment / "bin" / program).symlink_to(stub)
        (tmp_path / environment / "synced").touch()
    schema = tmp_path / "cache" / "fraudstream" / "terraform-schema"
    schema.mkdir(parents=True)
    (schema / "synced").touch()
    return tmp_path


def environment(checkout: Path) -> dict[str, str]:
    """No variables of the user except the path of programs."""
    return {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(checkout / "cache")}


def make(checkout: Path, *arguments: str, failing_call: int = 0) -> tuple[int, list[str]]:
    """The exit code, and the calls of the stubs."""
    calls = checkout / "calls"
    calls.unlink(missing_ok=True)
    command = ["make", f"PYTHON={checkout / 'stub'}", *arguments]
    variables = environment(checkout) | {"FAILING_CALL": str(failing_call)}
    ran = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
    return ran.returncode, calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.parametrize("target", sorted({*TARGETS} - {"venv"}))
def test_a_target_fails_with_each_of_its_commands(checkout: Path, target: str) -> None:
    code, calls = make(checkout, target)
    assert code == 0
    assert calls
    for number in range(1, len(calls) + 1):
        code, made = make(checkout, target, failing_call=number)
        assert (code, made) == (2, calls[:number])


@pytest.mark.parametrize("environment", sorted(PROGRAMS))
def test_an_environment_that_could_not_be_made_is_made_again(checkout: Path, environment: str) -> None:
    stamp = f"{environment}/synced"
    (checkout / stamp).unlink()
    code, calls = make(checkout, stamp)
    assert code == 0
    assert (checkout / stamp).exists()
    for number in range(1, len(calls) + 1):
        (checkout / stamp).unlink(missing_ok=True)
        assert make(checkout, stamp, failing_call=number) == (2, calls[:number])
        assert not (checkout / stamp).exists()
    assert make(checkout, stamp) == (0, calls)


def test_venv_makes_what_is_missing_and_nothing_else(checkout: Path) -> None:
    assert make(checkout, "venv") == (0, [])
    (checkout / ".venv/synced").unlink()
    assert make(checkout, "venv", failing_call=1)[0] == 2


def test_a_python_that_makes_no_environment_stops_everything(checkout: Path) -> None:
    (checkout / ".venv/bin/uv").unlink()
    code, calls = make(checkout, "up", failing_call=2)
    assert code == 2
    assert calls[1:] == [f"{checkout}/stub -m venv .venv"]


def test_a_python_that_is_too_old_is_named_before_anything_is_installed(checkout: Path) -> None:
    (checkout / ".venv/bin/uv").unlink()
    old = checkout / "python3.10"
    code = "import sys; sys.version_info = (3, 10, 2); exec(sys.argv[1])"
    old.write_text(f'#!/bin/sh\necho "$*" >> calls\nexec {sys.executable} -c \'{code}\' "$2"\n')
    old.chmod(0o755)
    ran = subprocess.run(
        ["make", f"PYTHON={old}", "up"],
        cwd=checkout,
        env=environment(checkout),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert f"Python 3.11 or newer is needed, and {old} is 3.10. Name another one: make PYTHON=python3.12" in ran.stderr
    assert "venv" not in (checkout / "calls").read_text()
