"""Making items before they are asked for."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

T = TypeVar("T")


def ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """The same items in the same order, made in one thread of their own, `count` of them ahead.

    What an item raises is raised where it is asked for. Whoever stops asking waits for those that are being made.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        end = object()
        coming = deque(thread.submit(next, items, end) for _ in range(count))
        while (item := coming.popleft().result()) is not end:
            coming.append(thread.submit(next, items, end))
            yield cast(T, item)
