"""An iterator that makes items in the background, before they are needed."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar, cast

T = TypeVar("T")


class Ahead(Iterator[T], Generic[T]):
    """Yields the items of an iterator in their order. A background thread makes up to `count` items ahead.

    If making an item raises an error, the ``next`` call for this item raises it. A context manager: its exit waits for
    the item that is being made, and no further items are made.
    """

    def __init__(self, items: Iterator[T], count: int) -> None:
        self._items = items
        self._end = object()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._coming = deque(self._next() for _ in range(count))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def __next__(self) -> T:
        item = self._coming.popleft().result()
        self._coming.append(self._next())
        if item is self._end:
            raise StopIteration
        return cast(T, item)

    @property
    def at_end(self) -> bool:
        """Whether no item is left. Waits until the next item is made, and raises its error if it has one."""
        return self._coming[0].result() is self._end

    def made_within(self, seconds: float) -> bool:
        """Waits up to `seconds` until the next item is made; returns whether it is. The end counts as an item."""
        return bool(wait([self._coming[0]], timeout=seconds).done)

    def _next(self) -> Future[object]:
        return self._thread.submit(next, self._items, self._end)
