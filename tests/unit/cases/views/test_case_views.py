"""The view of the whole topic is shared by all users that need it at the same time."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from fraudstream.cases.deadlines import deadline
from fraudstream.cases.views import case_views as view_module
from fraudstream.cases.views.case_views import horizon, shared_view, whole_view
from fraudstream.desk.views import kept
from fraudstream.settings import Settings


class FakeView:
    def __init__(self, settings: Settings, *, horizon: object) -> None:
        assert horizon is None
        self.alive = False
        made.append(self)

    def start(self) -> None:
        self.alive = True

    def close(self) -> None:
        self.alive = False


made: list[FakeView] = []


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    made.clear()
    monkeypatch.setattr(view_module, "ConfirmationView", FakeView)


def test_cases_at_the_same_time_share_one_view_that_goes_with_the_last_of_them() -> None:
    async def case(seconds: float) -> None:
        async with whole_view(Settings()) as view:
            await asyncio.sleep(seconds)
            assert view.alive

    async def run() -> None:
        async with asyncio.TaskGroup() as cases:
            for number in range(20):
                cases.create_task(case(number / 200))
        assert [view.alive for view in made] == [False]
        await case(0)
        assert [view.alive for view in made] == [False, False]

    asyncio.run(run())


def test_while_a_view_is_closed_other_cases_can_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing joins a thread, and cases enter on the triggerer's event loop."""
    locked = []
    monkeypatch.setattr(FakeView, "close", lambda self: locked.append(view_module._whole._lock.locked()))

    async def run() -> None:
        async with whole_view(Settings()):
            pass

    asyncio.run(run())
    assert locked == [False]


def test_one_that_ended_is_replaced_and_those_who_leave_it_dont_end_the_new_one() -> None:
    async def run() -> None:
        async with whole_view(Settings()) as new:
            new.close()  # as after an error that a retry doesn't resolve
            async with whole_view(Settings()) as other:
                assert other is not new
        assert [view.alive for view in made] == [False, False]
        async with whole_view(Settings()) as first:
            first.close()
            second = whole_view(Settings())
            replaced = await second.__aenter__()
            third = whole_view(Settings())
            assert await third.__aenter__() is replaced
            await third.__aexit__(None, None, None)
            assert replaced.alive
        assert replaced.alive
        await second.__aexit__(None, None, None)
        assert not replaced.alive

    asyncio.run(run())


def test_a_case_that_is_cancelled_gives_the_view_back() -> None:
    async def case() -> None:
        async with whole_view(Settings()):
            await asyncio.sleep(60)

    async def run() -> None:
        task = asyncio.create_task(case())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [view.alive for view in made] == [False]

    asyncio.run(run())


@pytest.mark.parametrize("days", [1, 3, 14, 60])
def test_a_case_is_known_for_as_long_as_it_waits(days: int) -> None:
    settings = Settings(confirmation_time_limit_seconds=days * 24 * 3600)
    limit, came_at = settings.confirmation_time_limit, datetime(2026, 1, 2, tzinfo=UTC)
    until = deadline(came_at + limit, came_at + limit, limit)  # of a notice that was accepted at the last moment
    assert horizon(settings) > until - came_at
    assert kept(settings) > until - came_at


class Shared:
    """A view that the process shares."""

    made: ClassVar[list["Shared"]] = []

    def __init__(self, settings: Settings, *, horizon: object) -> None:
        assert horizon is not None
        self.alive, self.started = True, 0
        Shared.made.append(self)

    def start(self) -> None:
        self.started += 1

    def close(self) -> None:
        self.alive = False


def test_a_process_has_one_view_which_its_end_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(view_module.atexit, "register", at_exit.append)
    monkeypatch.setattr(view_module, "ConfirmationView", Shared)
    monkeypatch.setattr(view_module, "_shared", view_module._Shared())
    Shared.made.clear()
    first = shared_view(Settings())
    (close,) = at_exit
    assert shared_view(Settings()) is first
    first.close()  # as after an error that a retry doesn't resolve
    second = shared_view(Settings())
    assert second is not first
    assert [view.started for view in Shared.made] == [1, 1]
    assert at_exit == [close]
    close()
    assert not second.alive


def test_the_end_of_a_process_that_needed_no_view_closes_none() -> None:
    view_module._Shared().close()
