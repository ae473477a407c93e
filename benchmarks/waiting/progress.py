"""Waits until a count in a running Airflow reaches a number, and prints the progress."""

import time
from collections.abc import Callable

#: Seconds between two lines of progress.
EVERY_SECONDS = 30.0
_POLL_SECONDS = 0.5


def wait_for_count(
    count: Callable[[], int], wanted: int, seconds: float, say: Callable[[str], None], what: str
) -> float:
    """Waits until `count` returns at least `wanted`, at most `seconds`; returns the seconds that it waited.

    :param say: prints a line of progress every 30 s
    :param what: what is counted, for that line
    """
    started = time.monotonic()
    said = started
    while (found := count()) < wanted and (now := time.monotonic()) - started < seconds:
        if now - said >= EVERY_SECONDS:
            say(f"{what}: {found:,} of {wanted:,} after {now - started:.0f} s")
            said = now
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - started
