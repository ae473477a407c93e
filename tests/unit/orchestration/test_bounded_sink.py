"""A task that is stopped waits for its sink no longer than Airflow waits for the task."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from math import inf

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.kafka.records import Batch, Partition
from fraudstream.orchestration.consumers.bounded_sink import BoundedSink, GivenUp

from tests.unit.lake.rows import PARTITION, batch


class SlowSink:
    """A sink whose flush returns when the test lets it, or raises an error."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.error: Exception | None = None
        self.calls: list[str] = []

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        return committed

    def write(self, batch: Batch) -> None:
        self.calls.append("write")

    def due(self) -> bool:
        return True

    def flush(self) -> dict[Partition, int]:
        self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return {PARTITION: 10}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self.calls.append("revoked")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def slow() -> Iterator[SlowSink]:
    sink = SlowSink()
    yield sink
    sink.gate.set()


def test_a_flush_that_does_not_come_back_is_given_up_at_the_end_of_the_task(slow: SlowSink) -> None:
    killed_at = inf
    sink = BoundedSink(slow, until=lambda: killed_at + 0.3)
    sink.write(batch(range(10)))

    def kill() -> None:
        nonlocal killed_at
        killed_at = time.monotonic()

    threading.Timer(0.3, kill).start()
    started = time.monotonic()
    with pytest.raises(GivenUp):
        sink.flush()
    assert 0.5 < time.monotonic() - started < 1.5
    started = time.monotonic()
    sink.revoked([PARTITION])
    sink.close()
    assert time.monotonic() - started < 0.2
    assert slow.calls == ["write"]


def test_it_is_the_sink_as_long_as_that_comes_back(slow: SlowSink) -> None:
    slow.gate.set()
    sink = BoundedSink(slow, until=lambda: inf)
    assert sink.assigned(PARTITION, 7) == 7
    sink.write(batch(range(10)))
    assert sink.due()
    assert sink.flush() == {PARTITION: 10}
    sink.revoked([PARTITION])
    sink.close()
    assert slow.calls == ["write", "revoked", "close"]


@pytest.mark.parametrize("error", [LakeUnavailable("away"), TimeoutError("its own")])
def test_what_the_sink_raises_is_raised(slow: SlowSink, error: Exception) -> None:
    slow.gate.set()
    slow.error = error
    with pytest.raises(type(error), match=str(error)):
        BoundedSink(slow, until=lambda: inf).flush()


def test_it_says_since_when_records_wait(slow: SlowSink) -> None:
    slow.gate.set()
    sink = BoundedSink(slow, until=lambda: inf)
    assert sink.waiting_since is None
    before = time.monotonic()
    sink.write(batch(range(10)))
    since = sink.waiting_since
    assert since is not None
    assert since >= before
    sink.write(batch(range(10, 20)))
    assert sink.waiting_since == since
    sink.flush()
    assert sink.waiting_since is None


class FinishesMeanwhile(Future[object]):
    """A call that returns or raises just after a wait for it timed out."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__()
        self._call = call

    def result(self, timeout: float | None = None) -> object:
        if not self.done():
            try:
                self.set_result(self._call())
            except TimeoutError as error:
                self.set_exception(error)
            raise TimeoutError
        return super().result(timeout)


@pytest.mark.parametrize("error", [None, TimeoutError("of the store")])
def test_a_call_that_ends_while_the_wait_for_it_times_out_has_its_own_outcome(
    slow: SlowSink, error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = BoundedSink(slow, until=lambda: inf)
    monkeypatch.setattr(sink._thread, "submit", FinishesMeanwhile)
    slow.error = error
    slow.gate.set()
    if error:
        with pytest.raises(TimeoutError, match="of the store"):
            sink.flush()
    else:
        assert sink.flush() == {PARTITION: 10}
