"""A proxy that adds Cloud Storage's limit of one write per second and object name to the benchmarks' object store."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.chaos.proxy import OBJECT_SECONDS, FaultyProxy

_STORE = "STORAGE_EMULATOR_HOST"
#: The proxy injects no faults, so its seed doesn't matter.
_SEED = 0


@contextmanager
def write_limit(environment: Mapping[str, str]) -> Iterator[tuple[dict[str, str], Counter[str]]]:
    """Yields the environment for processes that write through the proxy, and the number of refused writes by name.

    The proxy runs in this process, which otherwise only waits. It shares the machine's two cores with the measured
    processes.
    """
    with FaultyProxy(urlsplit(environment[_STORE]).port or 0, _SEED, object_seconds=OBJECT_SECONDS) as proxy:
        yield {**environment, _STORE: f"http://127.0.0.1:{proxy.port}"}, proxy.refused


def limit_note(refused: Counter[str]) -> str:
    """A sentence for the report about the refused writes."""
    return (
        f"The store refused {refused.total():,} writes with 429: more than one per {OBJECT_SECONDS:.0f} s of"
        f" {len(refused):,} object names."
    )
