"""A case without a waiting sensor ends with NO_RESPONSE when the customer's time is up."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Self

import pytest
from fraudstream.cases import expiry
from fraudstream.cases.expiry import OpenCase, close_expired, expired_by_claim
from fraudstream.cases.opening import FOLDER, CaseSink
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.stream.chain import ObjectChain
from fraudstream.settings import Settings

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import batch, row

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
LIMIT = timedelta(hours=72)
PARTITION = Partition(FRAUD_TRANSACTION, 0)


def claim(store: MemoryStore, *ages: timedelta, limit: timedelta = LIMIT) -> list[OpenCase]:
    """Opens a run for cases of these ages; returns them, oldest first."""
    ages = tuple(sorted(ages, reverse=True))
    times = [NOW - age for age in ages]
    rows = [row(n, isFraud=1) | {"idTransaction": f"case-{n}"} for n in range(len(ages))]
    stamps = [int(time.timestamp() * 1000) for time in times]
    sink = CaseSink(ObjectChain(store, FOLDER), lambda run, conf: None, time_limit=limit, wait_seconds=0)
    sink.assigned(PARTITION, None)
    sink.write(batch(range(len(ages)), rows=rows, timestamps=stamps, partition=PARTITION))
    sink.flush()
    return [OpenCase(time, made) for time, made in zip(times, rows, strict=True)]


def test_a_case_is_expired_a_while_after_the_time_that_its_customer_was_told() -> None:
    store = MemoryStore()
    cases = claim(store, LIMIT + timedelta(minutes=16), LIMIT + timedelta(minutes=14), timedelta(hours=1))
    assert [case.id for case in expired_by_claim(store, cases, NOW, LIMIT, {})] == ["case-0"]


def test_a_case_whose_notice_was_accepted_late_has_its_time_limit_from_then_on() -> None:
    store = MemoryStore()
    cases = claim(store, LIMIT + timedelta(hours=5))
    for hours, expired in ((4, ["case-0"]), (6, [])):
        accepted = {"case-0": cases[0].came_at + timedelta(hours=hours)}
        assert [case.id for case in expired_by_claim(store, cases, NOW, LIMIT, accepted)] == expired


def test_a_shorter_limit_closes_no_case_that_was_told_a_longer_one() -> None:
    store = MemoryStore()
    cases = claim(store, timedelta(hours=70), limit=LIMIT)
    assert expired_by_claim(store, cases, NOW, LIMIT, {}) == []


def test_the_claim_in_the_folder_of_the_next_day_is_found() -> None:
    """The first fraud of the run has a later day than the second one: their brokers' clocks differ."""
    store = MemoryStore()
    times = [datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC), datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)]
    rows = [row(n, isFraud=1) | {"idTransaction": f"case-{n}"} for n in range(2)]
    sink = CaseSink(ObjectChain(store, FOLDER), lambda run, conf: None, time_limit=LIMIT, wait_seconds=0)
    sink.assigned(PARTITION, None)
    sink.write(batch([0, 1], rows=rows, timestamps=[int(t.timestamp() * 1000) for t in times], partition=PARTITION))
    sink.flush()
    cases = [OpenCase(times[1], rows[1])]
    assert [case.id for case in expired_by_claim(store, cases, NOW, LIMIT, {})] == ["case-1"]


def test_the_claim_of_a_run_that_began_days_before_the_case_is_found() -> None:
    store = MemoryStore()
    cases = claim(store, LIMIT + timedelta(days=9), LIMIT + timedelta(days=1))
    assert len(expired_by_claim(store, cases, NOW, LIMIT, {})) == 2


def test_a_case_that_has_no_run_yet_is_left_to_open_cases(caplog: pytest.LogCaptureFixture) -> None:
    case = OpenCase(NOW - 2 * LIMIT, {"idTransaction": "case-9"})
    assert expired_by_claim(MemoryStore(), [case], NOW, LIMIT, {}) == []
    assert "case-9 has no claim" in caplog.text


class View:
    """The content of a topic."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.seen = self._found = found
        self._looks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Does nothing."""

    @property
    def caught_up(self) -> bool:
        self._looks += 1
        return self._looks > 1

    def get(self, key: str) -> Any:
        return self._found.get(key)


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """The outcomes that were written."""
    written: list[tuple[str, str]] = []

    async def publish(status: str, transaction: dict[str, Any], at: datetime) -> tuple[int, int]:
        written.append((transaction["idTransaction"], status))
        return 0, len(written)

    fake = SimpleNamespace(publish=publish, close=lambda: None)
    monkeypatch.setattr(expiry, "AnswerPublisher", lambda settings: fake)
    monkeypatch.setattr(expiry, "_LOOK_SECONDS", 0)
    yield written


def test_what_has_no_outcome_gets_one(monkeypatch: pytest.MonkeyPatch, published: list[tuple[str, str]]) -> None:
    store, old = MemoryStore(), datetime.now(UTC) - 2 * LIMIT
    monkeypatch.setattr("tests.unit.cases.test_expiry.NOW", old)
    cases = {case.id: case for case in claim(store, timedelta(0), timedelta(minutes=1), timedelta(minutes=2))}
    cases["case-young"] = OpenCase(datetime.now(UTC) - timedelta(minutes=1), {"idTransaction": "case-young"})
    monkeypatch.setattr(expiry, "_Frauds", lambda settings, horizon: View(cases))
    monkeypatch.setattr(expiry, "ConfirmationView", lambda settings, horizon: View({"case-1": object()}))
    monkeypatch.setattr(expiry, "AcceptedView", lambda settings, horizon: View({}))
    closed = asyncio.run(close_expired(Settings(), store, look_back=timedelta(days=30)))
    assert closed == ["case-0", "case-2"]
    assert published == [("case-0", "NO_RESPONSE"), ("case-2", "NO_RESPONSE")]


def test_a_case_that_is_answered_while_others_are_closed_keeps_its_answer(
    monkeypatch: pytest.MonkeyPatch, published: list[tuple[str, str]]
) -> None:
    store, old = MemoryStore(), datetime.now(UTC) - 2 * LIMIT
    monkeypatch.setattr("tests.unit.cases.test_expiry.NOW", old)
    cases = {case.id: case for case in claim(store, timedelta(0), timedelta(0), timedelta(0))}

    class Answered(View):
        def get(self, key: str) -> Any:
            return object() if key == "case-1" and published else None

    monkeypatch.setattr(expiry, "_Frauds", lambda settings, horizon: View(cases))
    monkeypatch.setattr(expiry, "ConfirmationView", lambda settings, horizon: Answered({}))
    monkeypatch.setattr(expiry, "AcceptedView", lambda settings, horizon: View({}))
    assert asyncio.run(close_expired(Settings(), store, look_back=timedelta(days=30))) == ["case-0", "case-2"]
    assert published == [("case-0", "NO_RESPONSE"), ("case-2", "NO_RESPONSE")]


def test_cases_are_looked_for_from_as_far_back_as_they_may_wait(
    monkeypatch: pytest.MonkeyPatch, published: list[tuple[str, str]]
) -> None:
    horizons: list[timedelta] = []

    def view(settings: Settings, horizon: timedelta) -> View:
        horizons.append(horizon)
        return View({})

    for name in ("_Frauds", "ConfirmationView", "AcceptedView"):
        monkeypatch.setattr(expiry, name, view)
    look_back = timedelta(days=1)
    asyncio.run(close_expired(Settings(), MemoryStore(), look_back=look_back))
    assert horizons == [2 * LIMIT + look_back] * 3


def test_a_case_of_a_broker_whose_clock_was_ahead_is_closed_when_its_claim_says_so(
    monkeypatch: pytest.MonkeyPatch, published: list[tuple[str, str]]
) -> None:
    ahead = OpenCase(datetime.now(UTC) + timedelta(days=365), {"idTransaction": "case-0"})
    asked: list[OpenCase] = []

    def by_claim(store: object, waiting: list[OpenCase], *_: object) -> list[OpenCase]:
        asked.extend(waiting)
        return waiting

    monkeypatch.setattr(expiry, "_Frauds", lambda settings, horizon: View({"case-0": ahead}))
    monkeypatch.setattr(expiry, "ConfirmationView", lambda settings, horizon: View({}))
    monkeypatch.setattr(expiry, "AcceptedView", lambda settings, horizon: View({}))
    monkeypatch.setattr(expiry, "expired_by_claim", by_claim)
    assert asyncio.run(close_expired(Settings(), MemoryStore(), look_back=timedelta(days=1))) == ["case-0"]
    assert asked == [ahead]
