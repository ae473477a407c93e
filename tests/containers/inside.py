"""Becomes a container's process. It runs as root in new mount, pid, ipc and uts namespaces, with a JSON file of `run`.

It uses only Python's standard library, because it runs before the container's file system is mounted.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
#: Docker's mount options of a tmpfs, before those of the compose file.
TMPFS = "noexec,nosuid,nodev"


def mount(*arguments: str) -> None:
    """Calls mount(8)."""
    subprocess.run(["mount", *arguments], check=True)


def bind(source: str, target: Path, *, read_only: bool) -> None:
    """Mounts a file or folder of this machine in the container."""
    if Path(source).is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    mount("--bind", source, str(target))
    if read_only:
        mount("-o", "remount,bind,ro", str(target))


def build(root: Path, spec: dict[str, Any]) -> None:
    """Builds the container's file system below `root`."""
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
    for link in ("bin", "lib", "lib64", "sbin"):
        (root / link).symlink_to(f"usr/{link}")
    for path, content in spec["files"].items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    for path, target in spec["links"].items():
        (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (root / path.lstrip("/")).symlink_to(target)
    for folder in ("dev", "proc", "run", "tmp", "var"):
        (root / folder).mkdir(exist_ok=True)
    (root / "var/run").symlink_to("/run")
    mount("-t", "proc", "proc", str(root / "proc"))
    for device in DEVICES:
        bind(f"/dev/{device}", root / "dev" / device, read_only=False)
    for name, number in {"stdin": 0, "stdout": 1, "stderr": 2}.items():
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (root / "dev/fd").symlink_to("/proc/self/fd")
    for path, options in spec["tmpfs"].items():
        target = root / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        mount("-t", "tmpfs", "-o", f"{TMPFS},{options}", "tmpfs", str(target))
    for source, path, read_only in spec["mounts"]:
        bind(source, root / path.lstrip("/"), read_only=read_only)
    if spec["read_only"]:
        mount("-o", "remount,bind,ro", str(root))


def become(spec: dict[str, Any]) -> None:
    """Runs the command. With `init` it runs as a child, gets SIGTERM forwarded, and its orphans are reaped."""
    command = [*spec["privileges"], *spec["command"]]
    if not spec["init"]:
        os.execvpe(command[0], command, spec["environment"])  # noqa: S606
    child = os.fork()
    if not child:
        os.execvpe(command[0], command, spec["environment"])  # noqa: S606
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    while True:
        ended, status = os.wait()
        if ended == child:
            sys.exit(os.waitstatus_to_exitcode(status) % 256)


def main() -> None:
    """Argument: the path of the JSON file."""
    file = Path(sys.argv[1])
    spec = json.loads(file.read_text())
    root = Path(spec["root"])
    build(root, spec)
    subprocess.run(["hostname", spec["hostname"]], check=True)
    os.chroot(root)
    os.chdir(spec["workdir"])
    become(spec)


if __name__ == "__main__":
    os.umask(0o022)
    main()
