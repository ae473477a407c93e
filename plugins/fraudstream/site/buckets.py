"""Limits how often one client, or one case, is served."""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network


class Buckets:
    """A token bucket for each key: `capacity` requests at once, refilled evenly over `seconds`.

    Memory is bounded: when more than `most_keys` are known, keys whose bucket is full again are dropped, and if there
    are none, all keys are.
    """

    def __init__(
        self,
        capacity: int,
        seconds: float,
        *,
        most_keys: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._seconds = seconds
        self._most_keys = most_keys
        self._clock = clock
        #: When each key's bucket is full again: its level follows from the time until then.
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> bool:
        """Takes a token of `key`; returns False if none is left."""
        now = self._clock()
        if key not in self._full_at and len(self._full_at) >= self._most_keys:
            self._full_at = {k: full for k, full in self._full_at.items() if full > now}
            if len(self._full_at) >= self._most_keys:
                self._full_at.clear()
        full_at = max(self._full_at.get(key, now), now) + self._seconds / self._capacity
        if full_at - now > self._seconds * (1 + 1e-9):
            return False
        self._full_at[key] = full_at
        return True


@lru_cache(maxsize=4096)
def client_key(host: str) -> str:
    """Returns the key of a client: its IPv4 address, also one mapped into IPv6, or its household's IPv6 /64 network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return host


def with_mapped(networks: Iterable[str]) -> list[str]:
    """Returns the networks, and each IPv4 network also mapped into IPv6, as sockets for both protocols report it."""
    found = [ip_network(network) for network in networks]
    mapped = [f"::ffff:{n.network_address}/{96 + n.prefixlen}" for n in found if isinstance(n, IPv4Network)]
    return [*map(str, found), *mapped]
