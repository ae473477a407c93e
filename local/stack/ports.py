"""The ports of the stack, and which process holds a port that is taken.

Several stacks can run on one machine, with the numbers 0 to 9. ``FRAUDSTREAM_STACK`` has the number, 0 by default. Each
stack has its own state, and 300 times its number is added to every port. Tests use stack 9, benchmarks 8, chaos 7. The
variable ``FRAUDSTREAM_PORT_<NAME>``, with the name in capitals, sets a single port: ``FRAUDSTREAM_PORT_KAFKA_UI=9081``.
"""

import os
import socket
from collections.abc import Iterable, Mapping

import psutil
from fraudstream.errors import SettingsError

HOST = "127.0.0.1"
PREFIX = "FRAUDSTREAM_PORT_"
STACK_NUMBER = "FRAUDSTREAM_STACK"
#: With this distance no two stacks from 0 to 9 share a port.
_APART = 300

#: name → (default, what listens on it)
PORTS: dict[str, tuple[int, str]] = {
    "kafka_1": (19092, "Kafka broker 1"),
    "kafka_2": (19093, "Kafka broker 2"),
    "kafka_3": (19094, "Kafka broker 3"),
    "kafka_1_controller": (19192, "KRaft controller of broker 1"),
    "kafka_2_controller": (19193, "KRaft controller of broker 2"),
    "kafka_3_controller": (19194, "KRaft controller of broker 3"),
    "schema_registry": (18081, "schema registry, HTTP"),
    "gcs": (14443, "object store, HTTP"),
    "smtp": (11025, "mail server, SMTP"),
    "inbox": (11080, "mail server, web inbox and REST"),
    "kafka_ui": (9080, "Kafka UI, HTTP"),
    "postgres": (15432, "Airflow's database"),
    "redis": (16379, "Celery's queues, with EXECUTOR=celery"),
    "airflow": (8080, "Airflow UI and API, HTTP"),
    "confirmation": (8085, "confirmation site, HTTP"),
    "confirmation_health": (8086, "health of the confirmation site, HTTP"),
    "statsd": (9125, "StatsD of Airflow, UDP, where Prometheus is installed"),
    "statsd_exporter": (9102, "StatsD exporter, HTTP, where Prometheus is installed"),
    "prometheus": (9090, "Prometheus, HTTP, where it is installed"),
}


def stack_number(environment: Mapping[str, str] = os.environ) -> int:
    """The number of the stack, 0 to 9, from FRAUDSTREAM_STACK.

    :raises SettingsError: the variable has another value
    """
    value = environment.get(STACK_NUMBER, "0")
    if not (value.isascii() and value.isdecimal() and int(value) <= 9):
        raise SettingsError(f"{STACK_NUMBER} is {value!r}; expected the number of a stack, 0 to 9")
    return int(value)


class Ports(dict[str, int]):
    """The stack's ports by name."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Ports":
        """The ports of the stack that the environment names, with the ports that the environment overrides.

        :raises SettingsError: a value is not a port, two names have the same port, or a variable names an unknown port
            or stack
        """
        shift = _APART * stack_number(environment)
        ports = cls({name: default + shift for name, (default, _) in PORTS.items()})
        for variable, value in environment.items():
            if not variable.startswith(PREFIX):
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in PORTS:
                known = ", ".join(PREFIX + known.upper() for known in PORTS)
                raise SettingsError(f"{variable} names no part of the stack; known are {known}")
            if not value.isdecimal() or not 1 <= int(value) <= 65535:
                raise SettingsError(f"{variable} is {value!r}; expected a port, 1 to 65535")
            ports[name] = int(value)
        for name, port in ports.items():
            sharing = [other for other, used in ports.items() if used == port]
            if len(sharing) > 1:
                raise SettingsError(f"port {port} is set for {' and '.join(sharing)}; give each its own")
            ports[name] = port
        return ports

    def address(self, name: str) -> str:
        """host:port of a part."""
        return f"{HOST}:{self[name]}"

    def url(self, name: str) -> str:
        """http://host:port of a part."""
        return f"http://{self.address(name)}"


def is_free(port: int) -> bool:
    """Whether a process could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def taken(ports: Iterable[int]) -> list[str]:
    """Returns a sentence for each port that is taken, with the name and pid of the process that holds it."""
    busy = [port for port in ports if not is_free(port)]
    return [f"port {port} is taken by {_holder(port)}" for port in busy]


def _holder(port: int) -> str:
    for process in psutil.process_iter(["pid", "name"]):
        try:
            connections = process.net_connections(kind="tcp")
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections):
            return f"{process.info['name']} (pid {process.info['pid']})"
    return "a process of another user"
