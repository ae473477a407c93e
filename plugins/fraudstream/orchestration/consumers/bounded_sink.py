"""A sink whose calls don't delay the end of the task, and that knows since when records wait in it."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TypeVar

from fraudstream.kafka.records import Batch, Partition, Sink

T = TypeVar("T")

_LOOK_SECONDS = 0.1


class GivenUp(Exception):
    """The task has to end, and a call of the sink didn't return in time."""


class BoundedSink:
    """:class:`~fraudstream.kafka.records.Sink` that runs the calls of another sink in a separate thread.

    Airflow kills a task 5 s after SIGTERM, and then the member does not leave the consumer group. So a call that hasn't
    returned by `until` is abandoned: the subscription ends with :class:`GivenUp` and closes its consumer. The next
    reader reads the records of this call again, and finds from the chain which of them are durable.

    :param until: returns the time.monotonic() until which to wait for a call; it is called repeatedly during the wait
    """

    def __init__(self, sink: Sink, until: Callable[[], float]) -> None:
        self._sink = sink
        self._until = until
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sink")
        self._given_up = False
        #: The time.monotonic() since which records wait to become durable; None if none wait.
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
                if running.done():  # since then, or the call itself raised a TimeoutError
                    return running.result()
            if time.monotonic() >= self._until():
                self._given_up = True
                raise GivenUp
