"""The current value of each key, and the coroutines that wait for one: the state behind a view of a topic.

The first value of a key counts, until one that supersedes it comes. Knows nothing of Kafka.
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
    """A value as it lay in its topic; `timestamp` is the Kafka record's, ms since 1970."""

    key: str
    timestamp: int
    value: T
    partition: int = 0
    offset: int = 0
    #: Whether it counts whenever it comes, instead of what counted before.
    supersedes: bool = False

    def counts_before(self, other: "Read[T]") -> bool:
        """Whether this one counts, and not the other one of the same key."""
        if self.supersedes != other.supersedes:
            return self.supersedes
        return self.place > other.place if self.supersedes else self.place < other.place

    @property
    def place(self) -> Place:
        """What decides which of two is the first."""
        return self.timestamp, self.partition, self.offset


@dataclass(eq=False, slots=True)
class _Waiter(Generic[T]):
    """A coroutine that waits; woken through its own event loop, which may be any thread's."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"
    result: T | None = None


class FirstValues(Generic[T]):
    """Keeps the first value of each key and wakes who waits for it.

    One thread feeds it; any number of event loops in any threads ask. A value costs O(1) however many wait, a waiter
    costs one future, and a cancelled waiter leaves nothing behind.

    :param settled: whether what is read is complete from the start; if not, no waiter is woken before :meth:`settle`,
        since a record of another partition that is yet to be read may be the first one of its key
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
        """How many wait for a value now."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    # ---- fed by one thread ----

    def advance(self, reads: Iterable[Read[T]], positions: Mapping[int, int]) -> None:
        """Takes records in log order, then notes the next offset of each partition that they reach up to."""
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
                        self._values.pop(read.key, None)  # to the end: it is younger than those before it
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
        """From now on what is read is the first of its key; wakes who waits for what was read so far."""
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
        """Drops values whose records are older than `horizon`, oldest first as they came; both in ms.

        Not by this machine's clock alone: one that is ahead would drop what it can't read again. So a record's age is
        its distance from the youngest record, or from `now` where a broker's clock was ahead.
        """
        with self._lock:
            now = min(now, self._newest)
            # a record whose time is yet to come holds up none behind it
            came = (key for key, read in self._values.items() if read.timestamp <= now)
            old = list(takewhile(lambda key: self._values[key].timestamp < now - horizon, came))
            for key in old:
                del self._values[key]
                self._order.forget(key)

    def fail(self, reason: str) -> None:
        """Raises :class:`KafkaError` with `reason` in everyone who waits, or asks from now on."""
        with self._lock:
            self._failure = reason
            woken: list[_Waiter[Any]] = [w for waiters in self._waiting.values() for w in waiters]
            woken.extend(w for followers in self._following.values() for w in followers)
            self._waiting.clear()
            self._following.clear()
        _wake(woken, lambda waiter: _reject(waiter, reason))

    # ---- asked by anyone ----

    def get(self, key: str) -> T | None:
        """The first value of `key`, None while none is known.

        :raises KafkaError: the feeding thread has ended; why
        """
        with self._lock:
            self._check()
            read = self._values.get(key)
        return None if read is None else read.value

    def position(self, partition: int) -> int:
        """Offset up to which `partition` is read; -1 before it is known.

        :raises KafkaError: as :meth:`get`
        """
        with self._lock:
            self._check()
            return self._positions.get(partition, -1)

    async def wait(self, key: str) -> T:
        """The first value of `key`, as soon as it is known.

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
        """Returns once the record at `offset` of `partition` is in the view: reading one's own write.

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
            logger.debug("an event loop was closed while %d waited in it", len(theirs))


def _each(how: Callable[[_Waiter[Any]], None], waiters: list[_Waiter[Any]]) -> None:
    for waiter in waiters:
        if not waiter.future.done():  # cancelled in between
            how(waiter)


def _resolve(waiter: _Waiter[Any]) -> None:
    waiter.future.set_result(waiter.result)


def _reject(waiter: _Waiter[Any], reason: str) -> None:
    waiter.future.set_exception(KafkaError(reason))
