"""A record of an unknown schema, whose dead letter another group will write, holds back only its own partition."""

import pytest
from fraudstream.kafka.consume import held_back
from fraudstream.kafka.consume.subscription import Subscription

from tests.unit.kafka.memory_group import Broker, Durable, FakeConsumer, FakeSink, subscribe

NEVER = 10**9


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_back, "_LOOK_SECONDS", 0)


def waiting(monkeypatch: pytest.MonkeyPatch, broker: Broker, durable: Durable, every: int = 1) -> Subscription:
    """A group that writes no dead letters, and ends after some seconds if it never continues."""
    broker.unknown_schema = True
    running = subscribe(monkeypatch, broker, FakeSink(durable, every=every))
    running._max_seconds = 5
    return running


def test_the_other_partitions_are_read_meanwhile_and_it_goes_on_in_order_once_the_letter_is_there(monkeypatch):
    broker, durable = Broker({0: [b"a", b"poison", b"b", b"c", b"d"], 1: [b"%d" % n for n in range(9)]}), Durable()
    running = waiting(monkeypatch, broker, durable)
    since: list[float | None] = []

    def before_read(consumer: FakeConsumer):
        since.append(running.waiting_since)
        if durable.ends.get(1) == 9:
            broker.letters[0] = {1}
        return {}, []

    broker.before_read = before_read
    running.run()
    assert durable.values == {0: ["a", "b", "c", "d"], 1: [str(n) for n in range(9)]}
    assert broker.committed == {0: 5, 1: 9}
    first, *others = [moment for moment in since if moment is not None]
    assert others
    assert set(others) == {first}, "other partitions' records that became durable don't hide that these wait"
    assert running.waiting_since is None


def test_the_end_is_not_committed_past_records_that_wait(monkeypatch):
    broker, durable = Broker({0: [b"a", b"b", b"c", b"poison", b"e"]}), Durable()
    running = waiting(monkeypatch, broker, durable, every=NEVER)
    reads = iter(range(NEVER))

    def before_read(consumer: FakeConsumer):
        if next(reads) == 5:
            running.stop()
        return {}, []

    broker.before_read = before_read
    running.run()
    assert (durable.ends, broker.committed) == ({0: 3}, {0: 3})


@pytest.mark.parametrize("how", ["revoke", "lost"])
def test_what_waits_of_a_partition_that_another_member_gets_is_forgotten(monkeypatch, how):
    broker, durable = Broker({0: [b"poison", b"b"]}), Durable()
    running = waiting(monkeypatch, broker, durable)
    reads = iter(range(NEVER))

    def before_read(consumer: FakeConsumer):
        if next(reads) == 3:
            assert running.waiting_since is not None
            consumer.callbacks[how](consumer, consumer.assigned)
            assert running.waiting_since is None
            broker.letters[0] = {0}
        return {}, []

    broker.before_read = before_read
    running.run()
    assert (durable.values, broker.committed) == ({0: ["b"]}, {0: 2})
