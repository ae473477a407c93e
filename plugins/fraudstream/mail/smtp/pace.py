"""How fast mails are handed to a server: a limit that is set, and slower than that while the server throttles."""

import time
from collections.abc import Callable

#: What the rate is multiplied with when the server throttles, and the slowest rate, in mails a second.
_SLOWER, _SLOWEST = 0.7, 1.0
#: How the rate grows in a second without a refusal.
_FASTER, _FASTER_AT_LEAST = 1.1, 1.0
#: After so long without a mail the server is taken to have forgotten what it had against us.
_FORGET_SECONDS = 600.0
#: A rate above this is no limit to anyone.
_UNLIMITED_FROM = 20_000.0
#: Seconds that a rate is measured over at least, where the server has just begun to take mails.
_SHORTEST_LOOK = 0.05
#: Mails that may go at once after a time without any, in seconds of the rate.
_BURST_SECONDS = 0.1


class Pace:
    """Tokens that come at a rate: a mail needs one. Additive and multiplicative steps, as TCP adapts its window.

    :param limit: mails a second at most
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
        """Whether the server made it slower than the limit."""
        return self._rate < self._limit

    @property
    def rate(self) -> float:
        """Mails a second now; infinite without a limit."""
        return self._rate

    def take(self) -> bool:
        """Whether a mail may go now."""
        self._advance()
        if self._rate == float("inf"):
            return True
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def accepted(self) -> None:
        """The server took a mail."""
        if not self._accepted and not self._accepted_before:
            self._first_at = self._clock()
        self._accepted += 1

    def slow_down(self) -> None:
        """The server throttles: below what it took a second lately. Refusals of one second are one step.

        A server that took nothing doesn't throttle: it takes no mail at all for now.
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
