"""Waiting for a number in a running Airflow, with a line on how far it is."""

import time
from collections.abc import Callable

#: Between two lines.
EVERY_SECONDS = 30.0
_POLL_SECONDS = 0.5


def wait_for_count(
    count: Callable[[], int], wanted: int, seconds: float, say: Callable[[str], None], what: str
) -> float:
    """Waits until there are so many, or for so long, and says every 30 s how many there are; how long it took."""
    started = time.monotonic()
    said = started
    while (found := count()) < wanted and (now := time.monotonic()) - started < seconds:
        if now - said >= EVERY_SECONDS:
            say(f"{what}: {found:,} of {wanted:,} after {now - started:.0f} s")
            said = now
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started
