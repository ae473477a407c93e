"""The state of a view of a topic: the current value of each key, and the coroutines that wait for values.

The first value of a key counts, until one that supersedes it comes. The module doesn't use a Kafka client.
"""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Generic, TypeVar

from fraudstream.cases.answers.order import CaseOrder, Place
from fraudstream.errors import KafkaError

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A value and the place of its record; `timestamp` is the record's, in ms since 1970."""

    key: str
    timestamp: int
    value: T
    partition: int = 0
    offset: int = 0
    #: Whether the value replaces the one that counted before, whenever it comes.
    supersedes: bool = False

    def counts_before(self, other: "Read[T]") -> bool:
        """Whether this value counts instead of another value of the same key."""
        if self.supersedes != other.supersedes:
            return self.supersedes
        return self.place > other.place if self.supersedes else self.place < other.place

    @property
    def place(self) -> Place:
        """Timestamp, partition and offset: the smaller place is the earlier one."""
        return self.timestamp, self.partition, self.offset


@dataclass(eq=False, slots=True)
class _Waiter(Generic[T]):
    """A coroutine that waits. It is woken through its own event loop, which may run in any thread."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    result: T | None = None


class FirstValues(Generic[T]):
    """Keeps the first value of each key, and wakes the coroutines that wait for it.

    One thread adds values; any number of event loops in any threads read them. A value costs O(1) however many wait, a
    waiter costs one future, and a cancelled waiter leaves nothing behind.

    :param settled: False: no waiter is woken before :meth:`settle`, since an unread record of another partition may be
        the first one of its key
    """

    def __init__(self, *, settled: bool = True) -> None:
        self._settled = settled
        self._lock = threading.Lock()
        self._values: dict[str, Read[T]] = {}
        self._order = CaseOrder()
        self._newest = 0
        self._positions: dict[int, int] = {}
        self._waiting: dict[str, set[_Waiter[T]]] = {}
        self._following: dict[int, dict[_Waiter[None], int]] = {}
        self._failure: str | None = None

    def __len__(self) -> int:
        return len(self._values)

    @property
    def waiting(self) -> int:
        """How many coroutines wait for a value now."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    # ---- called by the one thread that adds values ----

    def advance(self, reads: Iterable[Read[T]], positions: Mapping[int, int]) -> None:
        """Adds values, in log order in each partition, then sets the next offset of each partition in `positions`."""
        woken: list[_Waiter[Any]] = []
        with self._lock:
            for read in reads:
                self._newest = max(self._newest, read.timestamp)
                known = self._values.get(read.key)
                placed = read
                if known is not None:
                    placed = replace(read, timestamp=self._order.place(read.key, read.place, known.place)[0])
                if known is None or placed.counts_before(known):
                    if read.supersedes:
                        self._values.pop(read.key, None)  # the dict is in order of age: the new value goes to its end
                    self._values[read.key] = placed
                if self._settled:
                    woken += self._answered(read.key)
            for partition, position in positions.items():
                self._positions[partition] = position
                following = self._following.get(partition, {})
                for follower in [f for f, offset in following.items() if offset < position]:
                    del following[follower]
                    woken.append(follower)
        _wake(woken, _resolve)

    def settle(self) -> None:
        """Marks the values as complete, so that waiters may be woken; wakes those whose value is read already."""
        with self._lock:
            self._settled = True
            woken = [waiter for key in list(self._waiting) if key in self._values for waiter in self._answered(key)]
        _wake(woken, _resolve)

    def _answered(self, key: str) -> list[_Waiter[Any]]:
        waiters = list(self._waiting.pop(key, ()))
        for waiter in waiters:
            waiter.result = self._values[key].value
        return waiters

    def forget(self, horizon: int, now: int) -> None:
        """Drops values whose records are older than `horizon`, in the order in which they came.

        A record's age is its distance from the newest record, or from `now` if that is earlier. By `now` alone, a clock
        that is ahead would drop values that aren't read again; by the newest record alone, so would a broker's clock.

        :param horizon: in ms
        :param now: this machine's time, in ms since 1970
        """
        with self._lock:
            now = min(now, self._newest)
            # a record with a time in the future doesn't keep the records after it from being dropped
            came = (key for key, read in self._values.items() if read.timestamp <= now)
            old = list(takewhile(lambda key: self._values[key].timestamp < now - horizon, came))
            for key in old:
                del self._values[key]
                self._order.forget(key)

    def fail(self, reason: str) -> None:
        """Raises :class:`KafkaError` with `reason` in all waiters, and in all calls from now on that read values."""
        with self._lock:
            self._failure = reason
            woken: list[_Waiter[Any]] = [w for waiters in self._waiting.values() for w in waiters]
            woken.extend(w for followers in self._following.values() for w in followers)
            self._waiting.clear()
            self._following.clear()
        _wake(woken, lambda waiter: _reject(waiter, reason))

    # ---- called from any thread ----

    def get(self, key: str) -> T | None:
        """Returns the value of `key` that counts; None while there is none.

        :raises KafkaError: the thread that adds values has ended; the message says why
        """
        with self._lock:
            self._check()
            read = self._values.get(key)
        return None if read is None else read.value

    def position(self, partition: int) -> int:
        """Returns the offset up to which `partition` is read; -1 before it is known.

        :raises KafkaError: as :meth:`get`
        """
        with self._lock:
            self._check()
            return self._positions.get(partition, -1)

    async def wait(self, key: str) -> T:
        """Returns the value of `key` that counts, as soon as there is one.

        :raises KafkaError: as :meth:`get`
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check()
            read = self._values.get(key)
            if read is not None and self._settled:
                return read.value
            waiter: _Waiter[T] = _Waiter(loop, loop.create_future())
            self._waiting.setdefault(key, set()).add(waiter)
        try:
            return await waiter.future
        finally:
            with self._lock:
                others = self._waiting.get(key, set())
                others.discard(waiter)
                if not others:
                    self._waiting.pop(key, None)

    async def reached(self, partition: int, offset: int) -> None:
        """Returns once the record at `offset` of `partition` is in the view, so that a caller can read its own write.

        :raises KafkaError: as :meth:`get`
        """
        loop = asyncio.get_running_loop()
        with self._lock:
            self._check()
            if self._positions.get(partition, -1) > offset:
                return
            follower: _Waiter[None] = _Waiter(loop, loop.create_future())
            self._following.setdefault(partition, {})[follower] = offset
        try:
            await follower.future
        finally:
            with self._lock:
                self._following.get(partition, {}).pop(follower, None)

    def _check(self) -> None:
        # a new error each time: one instance raised again and again would grow its traceback without end
        if self._failure is not None:
            raise KafkaError(self._failure)


def _wake(waiters: list[_Waiter[Any]], how: Callable[[_Waiter[Any]], None]) -> None:
    """Calls `how` on each waiter in its own event loop: one wake-up a loop, however many wait there."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Waiter[Any]]] = defaultdict(list)
    for waiter in waiters:
        by_loop[waiter.loop].append(waiter)
    for loop, theirs in by_loop.items():
        try:
            loop.call_soon_threadsafe(_each, how, theirs)
        except RuntimeError:
            logger.debug("an event loop was closed while %d coroutines waited in it", len(theirs))


def _each(how: Callable[[_Waiter[Any]], None], waiters: list[_Waiter[Any]]) -> None:
    for waiter in waiters:
        if not waiter.future.done():  # cancelled in between
            how(waiter)


def _resolve(waiter: _Waiter[Any]) -> None:
    waiter.future.set_result(waiter.result)


def _reject(waiter: _Waiter[Any], reason: str) -> None:
    waiter.future.set_exception(KafkaError(reason))
