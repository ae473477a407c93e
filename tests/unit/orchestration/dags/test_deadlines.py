"""A consumer run has one deadline for all tries, waits and retries of its tasks; permanent errors fail it at once."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from fraudstream.errors import (
    KafkaRefused,
    LakeUnavailable,
    MailError,
    PartitionLost,
    ProducerStopped,
    SettingsError,
)
from fraudstream.kafka.produce.progress import IngestProgress
from fraudstream.kafka.records import Partition, Report
from fraudstream.orchestration.consumers.bounded_sink import BoundedSink
from fraudstream.orchestration.consumers.failing import Watch
from fraudstream.orchestration.operators import kafka as operators
from fraudstream.orchestration.operators.kafka import Consume, ProduceTransactions
from fraudstream.orchestration.retries import UntilDeadline, WhatMayPass
from fraudstream.settings import Settings

from tests.unit.orchestration.dags.dag_files import CONSUMERS, load


class Given:
    """The arguments that a consumer task passes to its subscription and its sink."""

    max_seconds: float
    ending: operators.Stop


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Given]]:
    class FakeSubscription:
        def __init__(self, *args: Any, max_seconds: float, **_: Any) -> None:
            Given.max_seconds = max_seconds
            self.report = Report(args[1], args[2])

        def stop(self) -> None:
            """Does nothing."""

        def run(self) -> Report:
            return self.report

    def sink(settings: Settings, topic: str, ending: operators.Stop) -> None:
        Given.ending = ending

    monkeypatch.setattr(operators, "Subscription", FakeSubscription)
    monkeypatch.setattr(operators.Codec, "for_topic", lambda *_: None)
    monkeypatch.setitem(operators._SINKS, "send_mail", sink)
    return iter([Given])


def context(minutes_ago: float, try_number: int = 1, max_minutes: int = 60) -> dict[str, Any]:
    """The context of a try in a run that started this many minutes ago."""
    task = Consume(
        task_id="send_mail",
        topic="non_fraud_transaction",
        role="send_mail",
        until="forever",
        max_minutes=max_minutes,
        retry_delay=timedelta(seconds=5),
        max_retry_delay=timedelta(minutes=5),
    )
    ti = SimpleNamespace(dag_id="consume_x", task_id="send_mail", map_index=0, try_number=try_number, log_url="")
    run = SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=minutes_ago))
    return {"task": task, "dag_run": run, "ti": ti}


@pytest.mark.parametrize(("minutes_ago", "left"), [(0, 60), (50, 10), (75, -15)])
def test_a_try_gets_what_is_left_of_its_run(given: Iterator[type[Given]], minutes_ago: int, left: int) -> None:
    of_try = context(minutes_ago)
    of_try["task"].execute(of_try)
    seen = next(given)
    assert seen.max_seconds == pytest.approx(60 * left, abs=5)
    assert seen.ending() is (left < 0)


def test_what_a_sink_waits_for_ends_when_the_task_is_to_end(given: Iterator[type[Given]]) -> None:
    of_try = context(0)
    of_try["task"].execute(of_try)
    ending = next(given).ending
    assert not ending()
    of_try["task"].on_kill()
    assert ending()


@pytest.mark.parametrize(
    ("until", "minutes_ago", "killed", "works"),
    [
        ("caught_up", 0, False, True),
        ("caught_up", 0, True, False),
        ("caught_up", 61, False, False),
        ("forever", 0, False, False),
    ],
)
def test_a_member_works_if_it_read_its_topic_to_the_end(
    given: Iterator[type[Given]],
    monkeypatch: pytest.MonkeyPatch,
    until: str,
    minutes_ago: int,
    killed: bool,
    works: bool,
) -> None:
    seen: list[object] = []

    def caught_up(watch: Watch) -> None:
        seen.append(watch)

    monkeypatch.setattr(operators.Watch, "caught_up", caught_up)
    of_try = context(minutes_ago)
    of_try["task"].until = until
    if killed:
        of_try["task"].on_kill()
    of_try["task"].execute(of_try)
    assert bool(seen) is works


@pytest.mark.parametrize(
    ("killed", "position", "raises"),
    [
        (False, {"row": 7}, False),
        (True, {"row": 7}, True),
        (True, {"row": 7, "done": True}, False),
        (True, {"row": 10}, False),  # the limit
    ],
)
def test_a_producer_that_is_ended_before_the_end_of_its_file_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, killed: bool, position: dict[str, Any], raises: bool
) -> None:
    task = ProduceTransactions(task_id="produce", source="/x.csv", limit=10, rows_per_second=0, max_rejected_share=0.01)

    def run() -> IngestProgress:
        if killed:
            task.on_kill()
        return IngestProgress("file", "/x.csv", **position)

    monkeypatch.setattr(operators, "open_source", lambda *_: None)
    monkeypatch.setattr(operators, "Publisher", lambda *_, **__: SimpleNamespace(run=run, stop=lambda: None))
    if raises:
        with pytest.raises(ProducerStopped, match=r"/x\.csv.*row 7") as error:
            task.execute({})
        assert error.value.retryable
    else:
        assert task.execute({})["row"] == position["row"]


def test_a_task_that_is_ended_during_a_slow_flush_ends_with_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    flushing = threading.Event()

    def flush() -> dict[Partition, int]:
        flushing.wait(30)
        return {}

    class Flushes:
        def __init__(self, settings: Settings, topic: str, group: str, sink: BoundedSink, *_: Any, **__: Any) -> None:
            self.report = Report(topic, group, records=7)
            self._sink = sink

        def stop(self) -> None:
            """Waits for the current flush."""

        def run(self) -> Report:
            self._sink.flush()
            return self.report

    monkeypatch.setattr(operators, "Subscription", Flushes)
    monkeypatch.setattr(operators.Codec, "for_topic", lambda *_: None)
    monkeypatch.setitem(operators._SINKS, "send_mail", lambda *_: SimpleNamespace(flush=flush))
    monkeypatch.setattr(operators, "_KILL_GRACE", 0.3)
    of_try = context(0)
    threading.Timer(0.2, of_try["task"].on_kill).start()
    started = time.monotonic()
    assert of_try["task"].execute(of_try)["records"] == 7
    assert time.monotonic() - started < 3
    flushing.set()


@pytest.mark.parametrize(
    ("error", "minutes_ago", "try_number", "action", "delay"),
    [
        (MailError("away"), 0, 1, RetryAction.RETRY, timedelta(seconds=5)),
        (LakeUnavailable("away"), 30, 4, RetryAction.RETRY, timedelta(seconds=40)),
        (ValueError("of nobody's"), 0, 40, RetryAction.RETRY, timedelta(minutes=5)),
        (PartitionLost("moved"), 0, 1, RetryAction.RETRY, timedelta(seconds=5)),
        (MailError("away"), 59.95, 1, RetryAction.FAIL, None),
        (MailError("away"), 56, 20, RetryAction.FAIL, None),
        (MailError("away"), 61, 1, RetryAction.FAIL, None),
        (KafkaRefused("login"), 0, 1, RetryAction.FAIL, None),
        (SettingsError("empty"), 0, 1, RetryAction.FAIL, None),
    ],
)
def test_a_consumer_is_tried_again_only_if_that_can_help_and_before_the_deadline(
    error: Exception, minutes_ago: float, try_number: int, action: RetryAction, delay: timedelta | None
) -> None:
    decision = UntilDeadline().evaluate(error, try_number, 1_000_000, context(minutes_ago))
    assert (decision.action, decision.retry_delay) == (action, delay)


@pytest.mark.parametrize(("error", "action"), [(KafkaRefused("x"), RetryAction.FAIL), (OSError(), RetryAction.DEFAULT)])
def test_other_tasks_keep_their_own_retries(error: Exception, action: RetryAction) -> None:
    assert WhatMayPass().evaluate(error, 1, 3).action is action


@pytest.mark.parametrize("name", [*CONSUMERS, "compact_lake", "audit_lake", "close_expired_cases", "start_kafka"])
def test_every_task_has_a_policy(name: str) -> None:
    assert all(task.has_retry_policy for task in load(name).tasks)
