import asyncio
import threading
from collections.abc import Callable

import pytest
from fraudstream.cases.views.first_value_store import FirstValues, Read
from fraudstream.errors import KafkaError
from hypothesis import given, settings
from hypothesis import strategies as st


def read(key: str, value: str, timestamp: int = 0) -> Read[str]:
    return Read(key, timestamp, value)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=3))), st.integers(1, 5))
def test_the_first_value_of_each_key_stays_however_the_log_is_cut_into_batches(
    log: list[tuple[str, str]], size: int
) -> None:
    first = FirstValues[str]()
    for start in range(0, len(log), size):
        first.advance([read(key, value) for key, value in log[start : start + size]], {0: start + size})
    expected = dict(reversed(log))
    assert {key: first.get(key) for key in expected} == expected
    assert len(first) == len(expected)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans())), st.integers(1, 5))
def test_the_last_superseding_value_counts_otherwise_the_first_however_the_log_is_cut(
    log: list[tuple[str, bool]], size: int
) -> None:
    reads = [Read(key, 0, offset, 0, offset, supersedes) for offset, (key, supersedes) in enumerate(log)]
    store = FirstValues[int]()
    for start in range(0, len(reads), size):
        store.advance(reads[start : start + size], {})
    for key in {key for key, _ in log}:
        of_key = [read for read in reads if read.key == key]
        superseding = [read for read in of_key if read.supersedes]
        assert store.get(key) == (superseding[-1] if superseding else of_key[0]).value


def test_a_superseding_value_is_kept_as_long_as_its_own_record_and_keeps_no_other() -> None:
    store = FirstValues[str]()
    store.advance([read("a", "old", 1), read("b", "old", 2), Read("a", 9, "decision", 0, 3, supersedes=True)], {})
    store.forget(4, now=9)
    assert (store.get("a"), store.get("b")) == ("decision", None)


def test_a_waiter_gets_a_value_that_came_before_and_one_that_comes_later() -> None:
    first = FirstValues[str]()
    first.advance([read("before", "1")], {})

    async def both() -> tuple[str, str]:
        later = asyncio.create_task(first.wait("later"))
        await asyncio.sleep(0)
        threading.Thread(target=first.advance, args=([read("later", "2"), read("later", "3")], {})).start()
        return await first.wait("before"), await asyncio.wait_for(later, 5)

    assert asyncio.run(both()) == ("1", "2")


def test_waiters_of_several_event_loops_are_all_woken() -> None:
    first = FirstValues[str]()
    got: list[str] = []

    async def wait() -> None:
        got.extend(await asyncio.wait_for(asyncio.gather(*(first.wait("key") for _ in range(50))), 5))

    loops = [threading.Thread(target=asyncio.run, args=(wait(),)) for _ in range(4)]
    for loop in loops:
        loop.start()
    until(lambda: first.waiting == 200)
    first.advance([read("key", "value")], {})
    for loop in loops:
        loop.join(5)
    assert got == ["value"] * 200
    assert first.waiting == 0


def test_a_cancelled_waiter_leaves_nothing_behind_and_harms_no_other() -> None:
    first = FirstValues[str]()

    async def run() -> str:
        leaving, staying = asyncio.create_task(first.wait("key")), asyncio.create_task(first.wait("key"))
        following = asyncio.create_task(first.reached(0, 5))
        await asyncio.sleep(0)
        leaving.cancel()
        following.cancel()
        await asyncio.gather(leaving, following, return_exceptions=True)
        assert first.waiting == 1
        first.advance([read("key", "value")], {0: 9})
        return await asyncio.wait_for(staying, 5)

    assert asyncio.run(run()) == "value"
    assert first.waiting == 0


def test_cancelling_in_the_moment_of_the_wake_up_is_harmless() -> None:
    first = FirstValues[str]()

    async def run() -> None:
        waiting = asyncio.create_task(first.wait("key"))
        await asyncio.sleep(0)
        first.advance([read("key", "value")], {})
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0)

    asyncio.run(run())
    assert first.get("key") == "value"


def test_a_loop_that_was_closed_with_waiters_in_it_does_not_stop_the_feeding_thread() -> None:
    first = FirstValues[str]()
    loop = asyncio.new_event_loop()
    task = loop.create_task(first.wait("key"))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    first.advance([read("key", "value")], {})
    assert first.get("key") == "value"
    task.get_coro().close()  # type: ignore[union-attr]
    task._log_destroy_pending = False  # type: ignore[attr-defined]


def test_reached_returns_when_the_record_itself_is_read_not_one_earlier() -> None:
    first = FirstValues[str]()

    async def run() -> None:
        waiting = asyncio.create_task(first.reached(3, 7))
        await asyncio.sleep(0)
        first.advance([], {3: 7, 4: 100})
        await asyncio.sleep(0.01)
        assert not waiting.done()
        first.advance([], {3: 8})
        await asyncio.wait_for(waiting, 5)
        await asyncio.wait_for(first.reached(3, 7), 5)

    asyncio.run(run())


def test_the_end_of_the_feeding_thread_is_raised_to_all_who_wait_and_all_who_ask() -> None:
    first = FirstValues[str]()

    async def run() -> list[object]:
        waiting = [asyncio.create_task(first.wait("key")), asyncio.create_task(first.reached(0, 1))]
        await asyncio.sleep(0)
        first.fail("the topic is gone")
        return list(await asyncio.gather(*waiting, first.wait("other"), return_exceptions=True))

    for error in asyncio.run(run()):
        assert isinstance(error, KafkaError)
        assert str(error) == "the topic is gone"
    for ask in (lambda: first.get("key"), lambda: first.position(0)):
        with pytest.raises(KafkaError, match="the topic is gone"):
            ask()


def test_what_is_older_than_the_horizon_is_forgotten_and_the_rest_stays() -> None:
    first = FirstValues[str]()
    first.advance([read("old", "1", 10), read("younger", "2", 20), read("young", "3", 30)], {})
    first.forget(10, now=30)
    assert (first.get("old"), first.get("younger"), first.get("young")) == (None, "2", "3")


def test_a_clock_that_is_ahead_drops_nothing_from_within_the_horizon() -> None:
    first = FirstValues[str]()
    first.advance([read("older", "1", 15), read("young", "2", 30)], {})
    first.forget(20, now=1_000)  # the reader's clock
    assert (first.get("older"), first.get("young")) == ("1", "2")
    first.advance([read("ahead", "3", 1_000)], {})  # a broker's
    first.forget(20, now=31)
    assert (first.get("older"), first.get("young"), first.get("ahead")) == ("1", "2", "3")


def test_a_record_of_the_future_holds_up_none_behind_it() -> None:
    first = FirstValues[str]()
    first.advance([read("ahead", "1", 1_000), read("old", "2", 10), read("young", "3", 30)], {})
    first.forget(15, now=30)
    assert (first.get("ahead"), first.get("old"), first.get("young")) == ("1", None, "3")


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the condition didn't come true within 5 s")


@given(st.permutations([(5, 1, 9), (5, 0, 9), (5, 0, 8), (4, 7, 30), (6, 0, 1)]), st.integers(1, 5))
def test_of_two_partitions_the_record_that_a_broker_took_first_counts_whatever_is_read_first(
    places: list[tuple[int, int, int]], size: int
) -> None:
    first = FirstValues[str](settled=False)
    reads = [Read("case", time, f"{time} {number} {offset}", number, offset) for time, number, offset in places]
    for start in range(0, len(reads), size):
        first.advance(reads[start : start + size], {})
    first.settle()
    assert first.get("case") == "4 7 30"


def test_nobody_is_told_a_value_before_all_that_may_be_earlier_is_read() -> None:
    first = FirstValues[str](settled=False)

    async def waits() -> str:
        waiting = asyncio.create_task(first.wait("case"))
        await asyncio.sleep(0)
        first.advance([Read("case", 20, "second", 1, 0)], {})
        late = asyncio.create_task(first.wait("case"))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        assert not late.done()
        first.advance([Read("case", 10, "first", 0, 7)], {})
        first.settle()
        return f"{await asyncio.wait_for(waiting, 5)}, {await asyncio.wait_for(late, 5)}"

    assert asyncio.run(waits()) == "first, first"
    assert first.waiting == 0
