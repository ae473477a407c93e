"""The environment in which Airflow's and fraudstream's processes run on the local stack."""

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from fraudstream.settings import ROOT

from local.ports import HOST, Ports

#: FRAUDSTREAM_VAR is for a second stack beside the first: state of its own here, ports of its own (local/ports.py).
VAR = Path(os.environ.get("FRAUDSTREAM_VAR", ROOT / "var"))
STACK = VAR / "stack"
LOGS = VAR / "log"
AIRFLOW_HOME = VAR / "airflow"
AIRFLOW_PASSWORDS = AIRFLOW_HOME / "simple_auth_manager_passwords.json"
AIRFLOW_USER = "admin"
DATABASE_USER = "airflow"
LAKE_BUCKET = "fraudstream-lake"
SMTP_CONNECTION = "AIRFLOW_CONN_SMTP_DEFAULT"

#: What a process needs of the machine and its user; all else (PYTHON*, AIRFLOW__*) would change what the stack does.
_MACHINE = ("HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "XDG_CACHE_HOME")
_MACHINE_NETWORK = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY")
#: What users set to point the pipeline somewhere else; theirs wins.
_USERS = ("FRAUDSTREAM_", "AIRFLOW_CONN_")
#: Variables of which `masked` shows no value.
_SECRET = ("PASSWORD", "SECRET", "_KEY", "_KEYS", "SQL_ALCHEMY_CONN")


def machine_environment() -> dict[str, str]:
    """The part of this process's environment that every part of the stack gets."""
    names = (*_MACHINE, *_MACHINE_NETWORK, *(name.lower() for name in _MACHINE_NETWORK))
    kept = {name: os.environ[name] for name in names if name in os.environ}
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {"LANG": "C.UTF-8"} | kept | {"PATH": bin_first, "NO_PROXY": f"{HOST},localhost"}


def stack_secrets() -> dict[str, str]:
    """Keys and passwords of this checkout's stack, made at random when first asked for and kept under var/."""
    path = STACK / "secrets.json"
    if not path.exists():
        STACK.mkdir(parents=True, exist_ok=True)
        made = {
            name: secrets.token_urlsafe(32)
            for name in ("jwt_secret", "api_secret_key", "postgres_password", "confirmation_key")
        }
        made["airflow_password"] = secrets.token_urlsafe(12)
        made["fernet_key"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(made, file)
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def airflow_login() -> tuple[str, str]:
    """User and password of the Airflow UI and of its REST API's /auth/token."""
    return AIRFLOW_USER, stack_secrets()["airflow_password"]


def stack_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The complete environment; `environment` moves ports and overrides FRAUDSTREAM_* and AIRFLOW_CONN_*.

    :raises SettingsError: a port is unusable
    """
    ports = Ports.from_environment(environment)
    users = {name: value for name, value in environment.items() if name.startswith(_USERS)}
    return machine_environment() | _airflow(ports) | _fraudstream(ports) | users


def smtp_connection(port: int) -> str:
    """Airflow's connection to a mail server of this machine, as JSON."""
    plain = {"disable_ssl": True, "disable_tls": True}
    return json.dumps({"conn_type": "smtp", "host": HOST, "port": port, "extra": plain})


def masked(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment to show: no secret's value in it."""
    return {
        name: "***" if any(part in name for part in _SECRET) else value for name, value in sorted(environment.items())
    }


def _fraudstream(ports: Ports) -> dict[str, str]:
    brokers = ",".join(ports.address(f"kafka_{number}") for number in (1, 2, 3))
    return {
        "FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS": brokers,
        "FRAUDSTREAM_SCHEMA_REGISTRY_URL": ports.url("schema_registry") + "/apis/ccompat/v7",
        "FRAUDSTREAM_LAKE_BUCKET": LAKE_BUCKET,
        "FRAUDSTREAM_CONFIRMATION_URL": ports.url("confirmation"),
        "FRAUDSTREAM_CONFIRMATION_BIND": ports.address("confirmation"),
        "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND": ports.address("confirmation_health"),
        "FRAUDSTREAM_CONFIRMATION_KEYS": stack_secrets()["confirmation_key"],
        "STORAGE_EMULATOR_HOST": ports.url("gcs"),
        "AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT": json.dumps(
            {"conn_type": "google_cloud_platform", "extra": {"is_anonymous": True, "project": "local"}}
        ),
        SMTP_CONNECTION: smtp_connection(ports["smtp"]),
    }


def _airflow(ports: Ports) -> dict[str, str]:
    kept = stack_secrets()
    login = f"{DATABASE_USER}:{kept['postgres_password']}"
    settings: dict[str, dict[str, object]] = {
        "core": {
            "dags_folder": ROOT / "dags",
            "plugins_folder": ROOT / "plugins",
            "load_examples": False,
            "executor": "LocalExecutor",
            "mp_start_method": "fork",  # workers share the scheduler's memory
            "parallelism": 14,  # tasks at once: what two cores and 5 GiB carry
            "max_active_tasks_per_dag": 14,
            "fernet_key": kept["fernet_key"],
            "execution_api_server_url": ports.url("airflow") + "/execution/",
            "simple_auth_manager_users": f"{AIRFLOW_USER}:admin",
            "simple_auth_manager_passwords_file": AIRFLOW_PASSWORDS,
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{login}@{HOST}:{ports['postgres']}/postgres",
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
            "min_file_process_interval": 300,  # a changed file is parsed at once all the same
            "refresh_interval": 30,  # until a new file is seen
        },
        "triggerer": {"capacity": 3000},
    }
    return {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        **{
            f"AIRFLOW__{section}__{key}".upper(): str(value)
            for section, values in settings.items()
            for key, value in values.items()
        },
    }
