"""Writes events of opened pages, so that people at the page Cases see whether a customer got the mail.

Nothing depends on these events: a page is shown whether or not its event can be written.
"""

import logging
import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

from fraudstream.cases.events import PAGE_OPENED, CaseEvent
from fraudstream.errors import FraudstreamError

logger = logging.getLogger(__name__)

#: Maximum number of events that wait for the brokers; while it is reached, further events are dropped.
_WAITING = 1_000
#: Maximum number of remembered cases with an event; the oldest ones are dropped, and may get another event.
_REMEMBERED = 100_000
_LEAVE_SECONDS = 3.0


class OpenedPages:
    """Writes PAGE_OPENED once for each case in this process, in a thread of its own; a context manager.

    If the event of a case couldn't be written, it is written when the page is opened again.
    """

    def __init__(self, publish: Callable[[Iterable[CaseEvent]], None]) -> None:
        self._publish = publish
        self._lock = threading.Lock()
        self._known: dict[str, None] = {}
        self._waiting: queue.Queue[CaseEvent | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._run, name="events of opened pages", daemon=True)

    def __enter__(self) -> "OpenedPages":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._waiting.put(None, timeout=_LEAVE_SECONDS)
        except queue.Full:
            return
        self._thread.join(_LEAVE_SECONDS)

    def __call__(self, case: str) -> None:
        """Queues the event of a case whose page is shown; returns at once."""
        with self._lock:
            if case in self._known:
                return
            try:
                self._waiting.put_nowait(CaseEvent(case, PAGE_OPENED, "site"))
            except queue.Full:
                return
            self._known[case] = None
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]

    def _run(self) -> None:
        ended = False
        while not ended:
            taken = [self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get())
            ended = None in taken
            if events := [event for event in taken if event is not None]:
                self._write(events)

    def _write(self, events: list[CaseEvent]) -> None:
        try:
            self._publish(events)
        except FraudstreamError as error:
            with self._lock:
                for event in events:
                    self._known.pop(event.id_transaction, None)
            logger.warning("that the pages of %d cases were opened isn't recorded: %s", len(events), error)
