"""Until when a case waits for its customer.

The notice has the time limit to be accepted by a mail server, counted from the case's record. From then on the customer
has the time limit to answer. So a case waits for at most twice the time limit, and one whose notice is never accepted
for once. The first notice that is accepted counts; reminders and notices that are sent again don't move the deadline.
"""

from datetime import datetime, timedelta
from typing import Any, overload


def longest_wait(time_limit: timedelta) -> timedelta:
    """How long after its record a case waits at most."""
    return 2 * time_limit


@overload
def deadline(first_limit: datetime, accepted_at: datetime | None, time_limit: timedelta) -> datetime: ...
@overload
def deadline(first_limit: float, accepted_at: float | None, time_limit: float) -> float: ...
def deadline(first_limit: Any, accepted_at: Any, time_limit: Any) -> Any:
    """When the case's time is up; as datetime, or in seconds.

    :param first_limit: until when the notice may be accepted: time of the case's record and the time limit
    :param accepted_at: when the notice was; None: not yet
    """
    if accepted_at is None or accepted_at > first_limit:
        return first_limit
    return max(first_limit, accepted_at + time_limit)
