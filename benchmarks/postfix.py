"""Postfix's smtp-sink and smtp-source: found on the machine, or taken out of Debian's package without installing it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.rounds import BenchmarkFailed

_PLACES = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin", "/usr/libexec/postfix"])
_HOW = (
    "smtp-sink and smtp-source, which come with Postfix, aren't on this machine. Install them: "
    "`sudo apt-get install --no-install-recommends postfix`, `sudo dnf install postfix`; macOS has smtp-source in "
    "/usr/libexec/postfix. As root on Debian or Ubuntu this benchmark takes them out of the package by itself"
)


def tool(name: str) -> list[str]:
    """The command of one of Postfix's test programs.

    :raises BenchmarkFailed: it isn't there; the message says what to type
    """
    found = shutil.which(name, path=_PLACES)
    if found:
        return [found]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fraudstream" / "postfix"
    program = cache / "usr" / "sbin" / name
    if not program.exists():
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise BenchmarkFailed(_HOW)
        _unpack(cache)
    return ["env", f"LD_LIBRARY_PATH={cache / 'usr' / 'lib' / 'postfix'}", str(program)]


def _unpack(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    try:
        # apt checks the package against the signed list of its archive.
        subprocess.run(["apt-get", "download", "postfix"], cwd=cache, check=True, capture_output=True, text=True)
        (package,) = cache.glob("postfix_*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(cache)], check=True, capture_output=True, text=True)
    except (subprocess.CalledProcessError, ValueError) as error:
        raise BenchmarkFailed(f"{_HOW}; that failed: {getattr(error, 'stderr', error)}") from error


@contextmanager
def smtp_sink(connections: int = 200) -> Iterator[int]:
    """Port of an smtp-sink, which accepts every mail and drops it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with subprocess.Popen(
        [*tool("smtp-sink"), *user, f"127.0.0.1:{port}", str(connections)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait_until_listening(port)
            yield port
        finally:
            process.terminate()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise BenchmarkFailed(f"smtp-sink doesn't listen on 127.0.0.1:{port} after 10 s")
