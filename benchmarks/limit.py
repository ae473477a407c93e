"""Cloud Storage's limit of one write per second and object name, in front of the benchmarks' object store."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.chaos.proxy import OBJECT_SECONDS, FaultyProxy

_STORE = "STORAGE_EMULATOR_HOST"
#: The proxy draws no faults.
_SEED = 0


@contextmanager
def write_limit(environment: Mapping[str, str]) -> Iterator[tuple[dict[str, str], Counter[str]]]:
    """The environment for what writes to the store behind the limit, and how many writes of each name it refused.

    The proxy runs in this process, which only waits for those that are measured; they share the two cores with it.
    """
    with FaultyProxy(urlsplit(environment[_STORE]).port or 0, _SEED, object_seconds=OBJECT_SECONDS) as proxy:
        yield {**environment, _STORE: f"http://127.0.0.1:{proxy.port}"}, proxy.refused


def limit_note(refused: Counter[str]) -> str:
    """For a report."""
    return (
        f"The store refused {refused.total():,} writes with 429: more than one per {OBJECT_SECONDS:.0f} s of"
        f" {len(refused):,} object names."
    )
