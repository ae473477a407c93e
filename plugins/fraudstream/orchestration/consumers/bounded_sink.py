"""A sink that the end of its task doesn't wait for, and that says how long records have been waiting in it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TypeVar

from fraudstream.kafka.records import Batch, Partition, Sink

T = TypeVar("T")

_LOOK_SECONDS = 0.1


class GivenUp(Exception):
    """The task is to end, and the sink didn't come back in time."""


class BoundedSink:
    """:class:`~fraudstream.kafka.records.Sink` around another, whose calls run in a thread of their own.

    Airflow kills a task 5 s after it asked it to end, and then the member does not leave the consumer group. So a call
    that isn't back by `until` is left to itself: the subscription ends with :class:`GivenUp` and closes its consumer.
    What the call was to make durable is read again by the next reader, which finds out by the chain what was.

    :param until: the moment, on time.monotonic's clock, up to which a call is waited for; asked all the time
    """

    def __init__(self, sink: Sink, until: Callable[[], float]) -> None:
        self._sink = sink
        self._until = until
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sink")
        self._given_up = False
        #: Since when records wait to become durable, on time.monotonic's clock; None: none do.
        self.waiting_since: float | None = None

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return self._call(lambda: self._sink.assigned(partition, committed))

    def write(self, batch: Batch) -> None:
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()
        self._call(lambda: self._sink.write(batch))

    def due(self) -> bool:
        return self._sink.due()

    def flush(self) -> dict[Partition, int]:
        durable = self._call(self._sink.flush)
        self.waiting_since = None
        return durable

    def revoked(self, partitions: Sequence[Partition]) -> None:
        if not self._given_up:
            self._call(lambda: self._sink.revoked(partitions))
            self.waiting_since = None

    def close(self) -> None:
        if not self._given_up:
            self._call(self._sink.close)
        self._thread.shutdown(wait=False)

    def _call(self, what: Callable[[], T]) -> T:
        running: Future[T] = self._thread.submit(what)
        while True:
            try:
                return running.result(timeout=_LOOK_SECONDS)
            except NotYet:
                if running.done():  # it raised one of its own
                    raise
            if time.monotonic() >= self._until():
                self._given_up = True
                raise GivenUp
