"""Starts maildump without waiting for the disk at each mail. Runs in maildump's own environment, not in the project's.

Its database is a local inbox: what a power failure may cost there is worth less than half of its speed.
"""

import maildump
from maildump import db
from maildump_runner.main import main

_connect = maildump.connect


def _connect_unsynced(path: str | None = None) -> None:
    _connect(path)
    db._conn.execute("PRAGMA journal_mode = WAL")
    db._conn.execute("PRAGMA synchronous = OFF")


maildump.connect = _connect_unsynced
main()
