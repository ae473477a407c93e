"""Whether the machine has room for the stack, asked before anything is started."""

import shutil
from pathlib import Path

import psutil
from fraudstream.errors import FraudstreamError

_GIB = 1 << 30
#: What `make demo` and `make test` were seen to take: 4.1 GiB of memory (PSS) and 1.5 GiB of disk, and some room.
MEMORY_BYTES = 5 * _GIB
DISK_BYTES = 3 * _GIB


class NoRoom(FraudstreamError):
    """The machine has too little free memory or disk."""


def require_room(folder: Path) -> None:
    """Returns where a stack with its state in `folder` has room.

    :raises NoRoom: it names what is free and what is needed
    """
    while not folder.exists():
        folder = folder.parent
    memory = psutil.virtual_memory().available
    disk = shutil.disk_usage(folder).free
    missing = [
        f"{free / _GIB:.1f} GiB of {what} are free, the stack needs {needed / _GIB:.0f} GiB"
        for what, free, needed in (("memory", memory, MEMORY_BYTES), (f"disk ({folder})", disk, DISK_BYTES))
        if free < needed
    ]
    if missing:
        raise NoRoom(f"{'; '.join(missing)}: stop other programs or remove files, then try again")
