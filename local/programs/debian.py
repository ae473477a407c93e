"""Programs that are not on PyPI: found on the machine, or extracted from Debian packages without installing them."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fraudstream.errors import FraudstreamError

_PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/libexec/postfix"])


class MissingProgram(FraudstreamError):
    """A program is missing; the message has the command that installs it."""


def tool(name: str, packages: Sequence[str], libraries: str, how: str) -> list[str]:
    """Returns the command that runs a program. As root with apt, a missing program's packages are extracted.

    :param packages: Debian packages to extract, the program's own first
    :param libraries: glob pattern of the folder in the packages that has the program's libraries
    :param how: a sentence or command for the user: how to install the program
    :raises MissingProgram: the program is missing and can't be extracted; the message has `how`
    """
    found = shutil.which(name, path=_PLACES)
    if found:
        return [found]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fraudstream" / packages[0]
    if not (programs := _programs(cache, name)):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise MissingProgram(how)
        _unpack(cache, packages, how)
        programs = _programs(cache, name)
    return ["env", f"LD_LIBRARY_PATH={next(cache.glob(libraries))}", str(programs[0])]


def _programs(cache: Path, name: str) -> list[Path]:
    return [*cache.glob(f"usr/*bin/{name}"), *cache.glob(f"*bin/{name}")]


def _unpack(cache: Path, packages: Sequence[str], how: str) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    try:
        # apt checks each package against the signed list of its archive.
        subprocess.run(["apt-get", "download", *packages], cwd=cache, check=True, capture_output=True, text=True)
        for package in packages:
            (archive,) = cache.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", str(archive), str(cache)], check=True, capture_output=True, text=True)
    except (subprocess.CalledProcessError, ValueError) as error:
        raise MissingProgram(f"{how}; that failed: {getattr(error, 'stderr', error)}") from error
