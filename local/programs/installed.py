"""Finds the parts' programs and state folders."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from fraudstream.errors import SettingsError
from fraudstream.settings import ROOT

from local.stack.environment import STACK


def state_folder(name: str) -> Path:
    """The folder for a part's state; it is created if it is missing."""
    folder = STACK / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def installed(package: str) -> Path:
    """The folder of an installed package, found without importing it.

    :raises SettingsError: the package isn't installed
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"the package {package} isn't installed; run: make venv")
    return Path(spec.submodule_search_locations[0])


def tool(environment: str, program: str) -> Path:
    """Path of a program in one of the environments under .venvs/.

    :raises SettingsError: the program is missing
    """
    path = ROOT / ".venvs" / environment / "bin" / program
    if not path.exists():
        raise SettingsError(f"{path.relative_to(ROOT)} is missing; run: make venv")
    return path


def make_environment(name: str) -> None:
    """Creates .venvs/NAME from its locked requirements, unless it exists."""
    subprocess.run(["make", f"PYTHON={sys.executable}", f".venvs/{name}/synced"], cwd=ROOT, check=True)


def words(options: dict[str, str]) -> list[str]:
    """Options and their values as the words of a command line."""
    return [word for option in options.items() for word in option]
