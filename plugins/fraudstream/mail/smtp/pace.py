"""The rate at which mails are sent to a server: a configured limit, and a lower one while the server throttles."""

import time
from collections.abc import Callable

#: The factor for the rate when the server throttles, and the lowest rate, in mails per second.
_SLOWER, _SLOWEST = 0.7, 1.0
#: The rate grows each second by this factor, and at least by this number of mails per second.
_FASTER, _FASTER_AT_LEAST = 1.1, 1.0
#: After this time without a mail, the rate is the configured limit again.
_FORGET_SECONDS = 600.0
#: A rate above this is set to the configured limit.
_UNLIMITED_FROM = 20_000.0
#: Minimum time in seconds for measuring the server's rate, when it has only begun to accept mails.
_SHORTEST_LOOK = 0.05
#: Maximum burst after a time without mails, in seconds of the rate.
_BURST_SECONDS = 0.1


class Pace:
    """A token bucket: each mail needs a token. The rate drops by a factor and grows step by step, like TCP's window.

    :param limit: maximum number of mails per second
    """

    def __init__(self, limit: float = float("inf"), clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._rate = limit
        self._tokens = 1.0
        self._at = self._second = clock()
        self._slowed_at = float("-inf")
        self._first_at = self._at
        self._accepted = self._accepted_before = 0

    @property
    def slowed(self) -> bool:
        """Whether the rate is lower than the limit, because the server throttled."""
        return self._rate < self._limit

    @property
    def rate(self) -> float:
        """The current rate in mails per second; infinity without a limit."""
        return self._rate

    def take(self) -> bool:
        """Takes a token and returns true, if a mail may be sent now."""
        self._advance()
        if self._rate == float("inf"):
            return True
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def accepted(self) -> None:
        """Counts a mail that the server accepted."""
        if not self._accepted and not self._accepted_before:
            self._first_at = self._clock()
        self._accepted += 1

    def slow_down(self) -> None:
        """Lowers the rate below the number of mails per second that the server accepted lately.

        Does so at most once a second. If the server accepted nothing lately, the rate stays: such a server isn't
        throttling, but accepts no mails at all.
        """
        self._advance()
        taken, now = max(self._accepted, self._accepted_before), self._clock()
        if not taken or now < self._slowed_at + 1.0:
            return
        self._slowed_at = now
        seconds = min(1.0, max(_SHORTEST_LOOK, now - self._first_at))
        self._rate = max(_SLOWEST, _SLOWER * min(self._rate, taken / seconds))
        self._tokens = min(self._tokens, 1.0)

    def _advance(self) -> None:
        now = self._clock()
        if self._rate != float("inf"):
            self._tokens = min(self._tokens + (now - self._at) * self._rate, 1.0 + self._rate * _BURST_SECONDS)
        self._at = now
        if now - self._second > _FORGET_SECONDS:
            self._second, self._accepted, self._accepted_before, self._rate = now, 0, 0, self._limit
        while now - self._second >= 1.0:
            self._second += 1.0
            self._accepted_before, self._accepted = self._accepted, 0
            if self.slowed:
                faster = max(self._rate * _FASTER, self._rate + _FASTER_AT_LEAST)
                self._rate = min(self._limit, faster if faster < _UNLIMITED_FROM else self._limit)
