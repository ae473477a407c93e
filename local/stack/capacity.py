"""Checks free memory and disk space before the stack is started."""

import shutil
from pathlib import Path

import psutil
from fraudstream.errors import FraudstreamError

_GIB = 1 << 30
#: `make demo` and `make test` were measured at 4.1 GiB of memory (PSS) and 1.5 GiB of disk. The limits add a reserve.
MEMORY_BYTES = 5 * _GIB
DISK_BYTES = 3 * _GIB


class NoRoom(FraudstreamError):
    """The machine has too little free memory or disk."""


def require_room(folder: Path) -> None:
    """Checks that memory and disk suffice for a stack with its state in `folder`.

    :raises NoRoom: one of them doesn't suffice; the message names how much is free and how much is needed
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
