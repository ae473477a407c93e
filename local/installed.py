"""Where the parts' programs and state lie."""

import importlib.util
import subprocess
import sys
from pathlib import Path

from fraudstream.errors import SettingsError
from fraudstream.settings import ROOT

from local.environment import STACK


def state_folder(name: str) -> Path:
    """Where a part keeps its state; made when it isn't there."""
    folder = STACK / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def installed(package: str) -> Path:
    """Where a package lies; it isn't imported, for what comes with it is run and not called."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SettingsError(f"the package {package} isn't installed; run: make venv")
    return Path(spec.submodule_search_locations[0])


def tool(environment: str, program: str) -> Path:
    """A program of one of the environments under .venvs/."""
    path = ROOT / ".venvs" / environment / "bin" / program
    if not path.exists():
        raise SettingsError(f"{path.relative_to(ROOT)} is missing; run: make venv")
    return path


def make_environment(name: str) -> None:
    """Makes .venvs/NAME from its locked requirements, unless it is there."""
    subprocess.run(["make", f"PYTHON={sys.executable}", f".venvs/{name}/synced"], cwd=ROOT, check=True)


def words(options: dict[str, str]) -> list[str]:
    """Options and values as a command line has them."""
    return [word for option in options.items() for word in option]
