"""The deadline of a case, until which it waits for its customer.

A mail server must accept the notice within the time limit, counted from the case's record. From the acceptance on, the
customer has the time limit to answer. So a case waits for at most twice the time limit, and for one time limit if its
notice is never accepted. Only the first accepted notice counts; reminders and resent notices don't move the deadline.
"""

from datetime import datetime, timedelta
from typing import Any, overload


def longest_wait(time_limit: timedelta) -> timedelta:
    """The longest time that a case waits, counted from its record."""
    return 2 * time_limit


@overload
def deadline(first_limit: datetime, accepted_at: datetime | None, time_limit: timedelta) -> datetime: ...
@overload
def deadline(first_limit: float, accepted_at: float | None, time_limit: float) -> float: ...
def deadline(first_limit: Any, accepted_at: Any, time_limit: Any) -> Any:
    """Returns when the case's time is up: as datetime, or as a number in the unit of the arguments.

    :param first_limit: until when the notice may be accepted: the time of the case's record plus the time limit
    :param accepted_at: when the notice was accepted; None: not yet
    """
    if accepted_at is None or accepted_at > first_limit:
        return first_limit
    return max(first_limit, accepted_at + time_limit)
