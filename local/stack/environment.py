"""Environment variables, secrets and folders of the local stack's processes."""

import base64
import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from fraudstream.settings import ROOT

from local.stack.ports import HOST, Ports, stack_number

#: Folder for the state and logs of the stack: var/ for stack 0, var/stack-NUMBER/ for another stack.
VAR = ROOT / "var" / (f"stack-{number}" if (number := stack_number()) else "")
STACK = VAR / "stack"
LOGS = VAR / "log"
AIRFLOW_HOME = VAR / "airflow"
AIRFLOW_PASSWORDS = AIRFLOW_HOME / "simple_auth_manager_passwords.json"
AIRFLOW_USER = "admin"
#: All users with their roles; they share a password. The first two may use the page Cases, the last one may not.
AIRFLOW_USERS = {AIRFLOW_USER: "admin", "clerk": "viewer", "visitor": "viewer"}
DESK_USERS = (AIRFLOW_USER, "clerk")
DATABASE_USER = "airflow"
LAKE_BUCKET = "fraudstream-lake"
CONSUMERS_POOL = "consumers"
#: Size of the consumers' pool on a new stack: two members of each group. Four more tasks can run outside the pool.
CONSUMER_SLOTS = 16
SMTP_CONNECTION = "AIRFLOW_CONN_SMTP_DEFAULT"
#: Programs that the stack runs only if all of them are installed, see local/stack/monitoring.py.
MONITORING = ("prometheus", "statsd_exporter")

#: Variables of the machine and its user that a process needs. Others (PYTHON*, AIRFLOW__*) would change its behaviour.
_MACHINE = ("HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "XDG_CACHE_HOME")
_MACHINE_NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY")
#: Prefixes of the variables that users may set; their values override the stack's.
_USERS = ("FRAUDSTREAM_", "AIRFLOW_CONN_", "PYICEBERG_CATALOG__")
SIGNING_KEYS = "FRAUDSTREAM_CONFIRMATION_KEYS"
#: Names of the secrets that `stack_secrets` generates.
_SECRETS = {
    *("jwt_secret", "api_secret_key", "fernet_key", "confirmation_key", "bounce_key"),
    *("airflow_password", "postgres_password", "redis_password"),
}
#: `masked` hides the value of a variable whose name contains one of these.
_SECRET = ("PASSWORD", "SECRET", "_KEY", "_KEYS", "SQL_ALCHEMY_CONN", "BROKER_URL", "RESULT_BACKEND", "CATALOG_URI")


def machine_environment() -> dict[str, str]:
    """The variables of this process's environment that every part of the stack gets, with this Python's bin on PATH."""
    names = (*_MACHINE, *_MACHINE_NETWORK, *(name.lower() for name in _MACHINE_NETWORK))
    kept = {name: os.environ[name] for name in names if name in os.environ}
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"LANG": "C.UTF-8"} | kept | {"PATH": bin_first, "NO_PROXY": f"{HOST},localhost"}


def stack_secrets() -> dict[str, str]:
    """The stack's keys and passwords by name. Missing ones are generated at random and stored under var/."""
    path = STACK / "secrets.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if missing := _SECRETS - kept.keys():
        STACK.mkdir(parents=True, exist_ok=True)
        kept |= {name: _new_secret(name) for name in missing}
        partial = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(kept, file)
        partial.rename(path)
    return kept


def _new_secret(name: str) -> str:
    if name == "fernet_key":
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return secrets.token_urlsafe(12 if name == "airflow_password" else 32)  # short, because users type the password


def airflow_login() -> tuple[str, str]:
    """User and password of the Airflow UI and of its REST API's /auth/token."""
    return AIRFLOW_USER, stack_secrets()["airflow_password"]


def stack_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The complete environment of the stack's processes.

    :param environment: its variables change ports (see :mod:`local.stack.ports`), and its FRAUDSTREAM_*,
        AIRFLOW_CONN_* and PYICEBERG_CATALOG__* override the stack's
    :raises SettingsError: a port is unusable
    """
    ports = Ports.from_environment(environment)
    users = {name: value for name, value in environment.items() if name.startswith(_USERS)}
    return machine_environment() | _airflow(ports) | _fraudstream(ports) | users


def smtp_connection(port: int) -> str:
    """Airflow's connection to a mail server of this machine, as JSON."""
    # The timeout is short: a server on this machine runs no slow spam filter, so one that doesn't answer is down.
    plain = {"disable_ssl": True, "disable_tls": True, "content_timeout": 30}
    return json.dumps({"conn_type": "smtp", "host": HOST, "port": port, "extra": plain})


def is_monitored() -> bool:
    """Whether Prometheus and the StatsD exporter are installed: the stack runs them, and Airflow reports metrics."""
    return all(shutil.which(program) for program in MONITORING)


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without the signing keys, for a process that neither signs nor verifies links."""
    return {name: value for name, value in environment.items() if name != SIGNING_KEYS}


def masked(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment sorted by name, with the values of secrets replaced by ``***``."""
    return {
        name: "***" if any(part in name for part in _SECRET) else value for name, value in sorted(environment.items())
    }


def _fraudstream(ports: Ports) -> dict[str, str]:
    brokers = ",".join(ports.address(f"kafka_{number}") for number in (1, 2, 3))
    return {
        "FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS": brokers,
        "FRAUDSTREAM_SCHEMA_REGISTRY_URL": ports.url("schema_registry") + "/apis/ccompat/v7",
        "FRAUDSTREAM_LAKE_BUCKET": LAKE_BUCKET,
        **catalog_environment(ports, _database(ports)),
        "FRAUDSTREAM_CONFIRMATION_URL": ports.url("confirmation"),
        "FRAUDSTREAM_CONFIRMATION_BIND": ports.address("confirmation"),
        "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND": ports.address("confirmation_health"),
        SIGNING_KEYS: stack_secrets()["confirmation_key"],
        "FRAUDSTREAM_DESK_USERS": ",".join(DESK_USERS),
        "FRAUDSTREAM_QUEUE_PRODUCER": "producer",
        "FRAUDSTREAM_QUEUE_CONSUMER_FRAUD": "consumer_fraud",
        "FRAUDSTREAM_QUEUE_CONSUMER_NON_FRAUD": "consumer_non_fraud",
        "STORAGE_EMULATOR_HOST": ports.url("gcs"),
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(
            {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "local"}}
        ),
        SMTP_CONNECTION: smtp_connection(ports["smtp"]),
    }


def catalog_environment(ports: Ports, uri: str) -> dict[str, str]:
    """Variables that configure pyiceberg: a SQL catalog at `uri`, with its tables in the stack's bucket."""
    properties = {
        "TYPE": "sql",
        "WAREHOUSE": f"gs://{LAKE_BUCKET}/iceberg",
        "GCS__SERVICE__HOST": ports.url("gcs"),
        "GCS__OAUTH2__TOKEN": "none",  # the emulator needs no token, but without one pyarrow looks for real credentials
        "GCS__OAUTH2__TOKEN_EXPIRES_AT": "4102444800000",  # in 2100
    }
    return {f"PYICEBERG_CATALOG__FRAUDSTREAM__{name}": value for name, value in properties.items()} | {
        "FRAUDSTREAM_LAKE_CATALOG_URI": uri
    }


def _database(ports: Ports) -> str:
    login = f"{DATABASE_USER}:{stack_secrets()['postgres_password']}"
    return f"postgresql+psycopg2://{login}@{HOST}:{ports['postgres']}/postgres"


def _airflow(ports: Ports) -> dict[str, str]:
    kept = stack_secrets()
    database = _database(ports)
    settings: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": ROOT / "dags",
            "plugins_folder": ROOT / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "mp_start_method": "fork",  # workers share the scheduler's memory
            # limit of running tasks; with one member for each group, 8 of them are consumers
            "parallelism": CONSUMER_SLOTS + 4,
            "max_active_tasks_per_dag": CONSUMER_SLOTS + 4,
            "fernet_key": kept["fernet_key"],
            "execution_api_server_url": ports.url("airflow") + "/execution/",
            "simple_auth_manager_users": ",".join(f"{user}:{role}" for user, role in AIRFLOW_USERS.items()),
            "simple_auth_manager_passwords_file": AIRFLOW_PASSWORDS,
        },
        "database": {
            "sql_alchemy_conn": database,
            "load_default_connections": False,
        },
        "api": {
            "host": HOST,
            "port": ports["airflow"],
            "base_url": ports.url("airflow"),
            "workers": 1,
            "secret_key": kept["api_secret_key"],
        },
        "api_auth": {"jwt_secret": kept["jwt_secret"]},
        "dag_processor": {
            "parsing_processes": 1,
            "min_file_process_interval": 300,  # changed files are parsed at once anyway
            "refresh_interval": 30,  # after this time a new file is found
            "stale_dag_threshold": 900,  # with less, a DAG is deactivated when its parsing times out, and its runs stop
            "stale_bundle_cleanup_interval": 0,  # off: DAGs are one local folder, so there are no old bundles to remove
        },
        "triggerer": {"capacity": 3000},
        "scheduler": {
            "task_instance_heartbeat_timeout": 60,
            "task_queued_timeout": 90_000,  # a queued member may wait for a worker until its DAG run ends
            "max_dagruns_per_loop_to_schedule": 2,  # a run of 200 cases takes seconds; the heartbeat waits for the loop
        },
        # Only CeleryExecutor reads these; docs/workers.md explains what each limits.
        "celery": {
            "broker_url": f"redis://:{kept['redis_password']}@{ports.address('redis')}/0",
            "result_backend": f"db+{database}",
            "worker_concurrency": 7,  # six consumer tasks for frauds, and the task that numbers their members
            "worker_prefetch_multiplier": 1,
            "sync_parallelism": 1,
        },
        "celery_broker_transport_options": {"visibility_timeout": 90_000},
    }
    if is_monitored():
        settings["metrics"] = {
            "statsd_on": True,
            "statsd_host": HOST,
            "statsd_port": ports["statsd"],
            "statsd_influxdb_enabled": True,  # adds tags, which plain StatsD doesn't have
        }
    return {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        **{
            f"AIRFLOW__{section}__{key}".upper(): str(value)
            for section, values in settings.items()
            for key, value in values.items()
        },
    }
