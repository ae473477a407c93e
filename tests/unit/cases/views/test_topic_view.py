"""What a view of a topic reads: its start, the answer that counts, and when it has caught up."""

import asyncio
import threading
import time
from datetime import timedelta

import pytest
from confluent_kafka import OFFSET_BEGINNING, OFFSET_INVALID
from fraudstream.cases.views import case_views, topic_view
from fraudstream.cases.views.case_views import ConfirmationView, shared_view
from fraudstream.errors import KafkaError
from fraudstream.settings import Settings

from tests.unit.cases.views.view_broker import NOW, Broker, until


def test_the_first_answer_of_a_case_in_log_order_is_its_answer(broker: Broker, answers: ConfirmationView) -> None:
    broker.answer("a", "REPORTED_FRAUD", offset=3)
    broker.answer("a", "REPORTED_NOT_FRAUD", offset=4)
    broker.answer("b", "NO_RESPONSE", partition=1, offset=0)
    until(lambda: answers.get("b"))
    first = answers.get("a")
    assert first is not None
    assert (first.id_transaction, first.status, first.partition, first.offset) == ("a", "REPORTED_FRAUD", 0, 3)
    assert first.answered_at == NOW
    assert first.record["amount"] == 18_198_343
    assert answers.get("c") is None


def test_it_is_caught_up_when_it_got_to_the_end_behind_a_transaction_marker(broker: Broker) -> None:
    broker.ends = {0: 5, 1: 0}
    with ConfirmationView(Settings(), horizon=None) as answers:
        broker.answer("a", "REPORTED_FRAUD", offset=3)
        until(lambda: answers.get("a"))
        assert not answers.caught_up, "offset 4 is a marker: nothing says yet that no answer lies there"
        broker.end_of(0, 5)
        broker.end_of(1, 0)
        until(lambda: answers.caught_up)


def test_without_a_horizon_it_reads_from_the_beginning(broker: Broker, answers: ConfirmationView) -> None:
    until(lambda: broker.assigned)
    assert [p.offset for p in broker.assigned] == [topic_view.OFFSET_BEGINNING]


def test_a_partition_of_which_no_offset_is_said_is_asked_for_again(broker: Broker) -> None:
    broker.ends = {0: 50}
    broker.young_from = OFFSET_INVALID
    with ConfirmationView(Settings(), horizon=timedelta(days=1)):
        until(lambda: len([what for what, _ in broker.asked if what == "time"]) > 1)
        assert not broker.assigned
        broker.young_from = 40
        until(lambda: broker.assigned)
    assert [p.offset for p in broker.assigned] == [40]


def test_with_a_horizon_it_starts_there_and_at_the_end_where_nothing_is_that_young(broker: Broker) -> None:
    broker.ends = {0: 50}
    for young_from, start in ((40, 40), (-1, 50)):
        broker.young_from, broker.assigned = young_from, []
        with ConfirmationView(Settings(), horizon=timedelta(days=1)):
            until(lambda: broker.assigned)
        assert [p.offset for p in broker.assigned] == [start]


def test_the_horizon_reaches_back_from_now_and_is_asked_for_after_the_ends(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    broker.ends = {0: 7, 1: 9}
    with ConfirmationView(Settings(), horizon=timedelta(hours=1)):
        until(lambda: broker.assigned)
    oldest = (1_700_000_000 - 3600) * 1000
    assert broker.asked == [("end", 0), ("end", 1), ("time", oldest), ("time", oldest)]


def test_it_is_caught_up_only_when_each_partition_is_read_to_its_end(broker: Broker) -> None:
    broker.ends = {0: 1, 1: 1}
    with ConfirmationView(Settings(), horizon=None) as answers:
        broker.answer("a", "REPORTED_FRAUD", partition=0, offset=0)
        until(lambda: answers.get("a"))
        assert not answers.caught_up
        broker.answer("b", "REPORTED_FRAUD", partition=1, offset=0)
        until(lambda: answers.caught_up)


def test_who_waits_is_told_the_first_answer_once_all_partitions_are_read(broker: Broker) -> None:
    """After partitions were added a case has answers in two partitions, and the later answer is read first."""
    broker.ends = {0: 1, 1: 1}

    async def wait(answers: ConfirmationView) -> str:
        waiting = asyncio.create_task(answers.wait("a"))
        broker.answer("a", "REPORTED_NOT_FRAUD", partition=1, offset=0, sent=2_000)
        await asyncio.to_thread(until, lambda: answers.position(1) == 1)
        await asyncio.sleep(0)
        assert not waiting.done()
        broker.answer("a", "REPORTED_FRAUD", partition=0, offset=0, sent=1_000)
        return (await asyncio.wait_for(waiting, 5)).status

    with ConfirmationView(Settings(), horizon=None) as answers:
        assert asyncio.run(wait(answers)) == "REPORTED_FRAUD"


def test_closing_ends_the_thread_and_tells_who_waits(broker: Broker, answers: ConfirmationView) -> None:
    async def wait() -> None:
        waiting = asyncio.create_task(answers.wait("a"))
        await asyncio.sleep(0.02)
        await asyncio.to_thread(answers.close)
        with pytest.raises(KafkaError, match="is closed"):
            await waiting

    asyncio.run(wait())
    answers.close()
    assert broker.closed == 1


def test_what_gets_older_than_the_horizon_is_forgotten(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_view, "FORGET_EVERY_SECONDS", 0.01)
    with ConfirmationView(Settings(), horizon=timedelta(hours=1)) as answers:
        broker.answer("old", "REPORTED_FRAUD", sent=1)
        broker.answer("young", "REPORTED_FRAUD")
        until(lambda: answers.get("young"))
        until(lambda: answers.get("old") is None)
        assert answers.get("young")


def test_a_process_shares_one_view_until_it_is_closed(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_views, "_shared", case_views._Shared())
    settings = Settings()
    found: list[ConfirmationView] = []
    threads = [threading.Thread(target=lambda: found.append(shared_view(settings))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    found[0].close()
    again = shared_view(settings)
    assert again is not found[0]
    assert again.alive
    again.close()
    assert broker.consumers == broker.closed == 2


def test_partitions_that_are_added_are_read_from_their_beginning(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_view, "REFRESH_EVERY_SECONDS", 0.01)
    broker.end_of(0, 0)
    with ConfirmationView(Settings(), horizon=timedelta(hours=1)) as view:
        until(lambda: view.caught_up)
        broker.ends = broker.ends | {7: 3}
        until(lambda: [place.partition for place in broker.assigned] == [0, 7])
        assert broker.assigned[-1].offset == OFFSET_BEGINNING
        broker.answer("a", "REPORTED_FRAUD", partition=7)
        broker.end_of(7, 3)
        until(lambda: view.get("a") is not None)
