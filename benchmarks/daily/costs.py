"""Calculates the cost of CPU seconds on the machines of docs/deploy.md, as if these machines were never idle."""

from collections.abc import Mapping
from typing import NamedTuple

_SECONDS_OF_A_MONTH = 730 * 3600


class Machine(NamedTuple):
    """A machine type, its price in docs/deploy.md in US dollars a month, and the vCPUs that it can use permanently.

    An e2-medium can use two vCPUs for short bursts, and one permanently.
    """

    name: str
    dollars: float
    cpus: float

    @property
    def dollars_of_a_second(self) -> float:
        """The price of one vCPU second in US dollars."""
        return self.dollars / self.cpus / _SECONDS_OF_A_MONTH


#: The production machines of docs/deploy.md. The database is two instances, each with 2 vCPU and 8 GB.
BROKERS = Machine("n2-standard-4", 113.46, 4)
REGISTRY = Machine("e2-standard-2", 48.92, 2)
AIRFLOW = Machine("e2-standard-8", 195.67, 8)
WORKERS = Machine("e2-standard-4", 97.84, 4)
SITE = Machine("e2-medium", 24.46, 1)
DATABASE = Machine("Cloud SQL, 2 vCPU, regional", 2 * 730 * (2 * 0.0413 + 8 * 0.007), 2)
MACHINE_OF = {
    "brokers": BROKERS,
    "schema registry": REGISTRY,
    "Airflow": AIRFLOW,
    "triggerer": AIRFLOW,
    "other tasks": AIRFLOW,
    "compaction": AIRFLOW,
    "database": DATABASE,
    "producer": WORKERS,
    "write_lake": WORKERS,
    "send_mail": WORKERS,
    "open_cases": WORKERS,
    "site": SITE,
}


def dollars_per_million(cpu_seconds: Mapping[str, float], records: int) -> dict[str, float]:
    """US dollars per million records of each part that runs on such a machine.

    The object store and the mail server aren't included: in production these are services of other providers.
    """
    return {
        part: seconds * MACHINE_OF[part].dollars_of_a_second * 1_000_000 / records
        for part, seconds in cpu_seconds.items()
        if part in MACHINE_OF
    }
