"""Each fraud is in exactly one DAG run, with a crash at any step and any division into batches."""

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from fraudstream.cases.opening import CASES_PER_RUN, Budget, CaseSink
from fraudstream.errors import LakeError, PartitionLost
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.names import object_name
from fraudstream.lake.stream.totals import totals_of
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import MIDNIGHT_MS, batch, row

PARTITION = Partition(FRAUD_TRANSACTION, 2)
LIMIT = timedelta(hours=72)


class Crash(Exception):
    """A crash of the process."""


class Airflow:
    """Opens runs once for each id, and may crash."""

    def __init__(self) -> None:
        self.runs: dict[str, list[str]] = {}
        self.crash = False

    def open_run(self, run_id: str, conf: dict[str, list[dict[str, object]]]) -> None:
        if self.crash:
            raise Crash
        self.runs.setdefault(run_id, [case["idTransaction"] for case in conf["cases"]])

    def opened(self) -> list[str]:
        return sorted(case for cases in self.runs.values() for case in cases)


def frauds(first: int, end: int, partition: Partition = PARTITION):
    offsets = list(range(first, end))
    rows = [row(n, isFraud=1, type="TRANSFER") | {"idTransaction": case_id(partition, n)} for n in offsets]
    return batch(offsets, rows=rows, partition=partition)


def case_id(partition: Partition, offset: int) -> str:
    return f"tx-{offset}" if partition == PARTITION else f"tx-{partition.number}-{offset}"


def sink_on(store: MemoryStore, airflow: Airflow) -> CaseSink:
    return CaseSink(ObjectChain(store, "_cases"), airflow.open_run, time_limit=LIMIT, wait_seconds=0)


def ids(count: int) -> list[str]:
    return sorted(f"tx-{n}" for n in range(count))


@given(
    total=st.integers(1, 40),
    cuts=st.lists(st.integers(1, 15), min_size=1, max_size=6),
    crashes=st.lists(st.sampled_from(["create", "created", "open", "opened", "replace", "replaced", None]), max_size=5),
)
def test_every_fraud_is_opened_once_under_crashes_at_any_step(total, cuts, crashes):
    store, airflow = MemoryStore(), Airflow()
    for number, crash in enumerate([*crashes, None]):
        sink = sink_on(store, airflow)
        _crash_at(store, airflow, crash)
        size = cuts[number % len(cuts)]
        try:
            offset = sink.assigned(PARTITION, None)
            while offset < total:
                sink.write(frauds(offset, min(total, offset + size)))
                offset = sink.flush()[PARTITION]
        except (Crash, PartitionLost):
            continue
        finally:
            _crash_at(store, airflow, None)
    assert airflow.opened() == ids(total)


@given(
    ends=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    readers=st.lists(
        st.tuples(st.sets(st.integers(0, 2), min_size=1), st.integers(1, 8), st.integers(0, 25)), max_size=6
    ),
)
def test_every_fraud_is_in_one_run_whoever_reads_which_partitions_and_crashes_at_any_step(ends, readers):
    """A reader: its partitions, how many frauds of each it reads at once, and the step after which it crashes."""
    store, airflow = MemoryStore(), Airflow()
    for owned, size, steps in [*readers, ({0, 1, 2}, 5, None)]:
        countdown = iter(range(steps)) if steps is not None else None
        step = _stepper(countdown)
        store.before = store.after = step
        sink = CaseSink(
            ObjectChain(store, "_cases"),
            lambda run, conf, step=step: (step("open", run), airflow.open_run(run, conf), step("opened", run)),
            time_limit=LIMIT,
            wait_seconds=0,
        )
        try:
            partitions = [Partition(FRAUD_TRANSACTION, number) for number in sorted(owned)]
            at = {partition: sink.assigned(partition, None) for partition in partitions}
            while behind := [partition for partition in partitions if at[partition] < ends[partition.number]]:
                for partition in behind:
                    sink.write(frauds(at[partition], min(ends[partition.number], at[partition] + size), partition))
                at |= sink.flush()
        except Crash:
            continue
    expected = [case_id(Partition(FRAUD_TRANSACTION, number), n) for number in range(3) for n in range(ends[number])]
    assert airflow.opened() == sorted(expected)


def _stepper(countdown):
    def step(*_):
        if countdown is not None and next(countdown, None) is None:
            raise Crash

    return step


def _crash_at(store: MemoryStore, airflow: Airflow, step: str | None) -> None:
    def die_at(operation: str):
        def die(called: str, name: str) -> None:
            if called == operation:
                raise Crash

        return die

    store.before = die_at(step or "") if step in {"create", "replace"} else lambda *_: None
    store.after = die_at({"created": "create", "replaced": "replace"}.get(step or "", ""))
    airflow.crash = step == "open"


def test_a_zombie_opens_nothing_twice():
    store, airflow = MemoryStore(), Airflow()
    zombie, owner = sink_on(store, airflow), sink_on(store, airflow)
    zombie.assigned(PARTITION, None)
    zombie.write(frauds(0, 5))
    owner.assigned(PARTITION, None)
    owner.write(frauds(0, 3))
    assert owner.flush() == {PARTITION: 3}
    try:
        zombie.flush()
    except PartitionLost:
        pass
    else:
        raise AssertionError("the zombie wasn't fenced")
    owner.write(frauds(3, 5))
    owner.flush()
    assert airflow.opened() == ids(5)


def test_a_run_has_at_most_its_share_of_cases():
    store, airflow = MemoryStore(), Airflow()
    sink = sink_on(store, airflow)
    sink.assigned(PARTITION, None)
    sink.write(frauds(0, 2 * CASES_PER_RUN + 1))
    assert sink.due()
    sink.flush()
    assert sorted(map(len, airflow.runs.values())) == [1, CASES_PER_RUN, CASES_PER_RUN]
    assert [run for run in airflow.runs if run.startswith(f"{FRAUD_TRANSACTION}-2-0-{CASES_PER_RUN}-")]


def test_a_case_whose_broker_had_a_clock_that_was_ahead_waits_no_longer_than_others(monkeypatch):
    store, found = MemoryStore(), []
    monkeypatch.setattr("time.time", lambda: MIDNIGHT_MS / 1000)
    sink = CaseSink(ObjectChain(store, "_cases"), lambda _, conf: found.extend(conf["cases"]), time_limit=LIMIT)
    sink.assigned(PARTITION, None)
    records = frauds(0, 2)
    sink.write(replace(records, timestamps=MIDNIGHT_MS + np.array([-60_000, 365 * 86_400_000])))
    sink.flush()
    assert [case["openedAt"] for case in found] == ["2023-10-06T23:59:00.000Z", "2023-10-07T00:00:00.000Z"]


def test_records_that_were_passed_over_count_as_read():
    store, airflow = MemoryStore(), Airflow()
    sink = sink_on(store, airflow)
    sink.assigned(PARTITION, None)
    sink.write(batch([], rows=[], next_offset=9, partition=PARTITION))
    assert sink.flush() == {PARTITION: 9}
    assert airflow.runs == {}


def test_one_that_is_told_to_stop_while_it_waits_for_its_turn_leaves_the_rest_to_the_next():
    store, airflow = MemoryStore(), Airflow()
    paced = CaseSink(
        ObjectChain(store, "_cases"),
        airflow.open_run,
        time_limit=LIMIT,
        cases_per_second=0.001,
        stop=lambda: True,
        wait_seconds=0,
    )
    paced.assigned(PARTITION, None)
    paced.write(frauds(0, 3 * CASES_PER_RUN))
    assert paced.flush() == {PARTITION: CASES_PER_RUN}
    assert airflow.opened() == ids(CASES_PER_RUN)
    after = sink_on(store, airflow)
    offset = after.assigned(PARTITION, None)
    after.write(frauds(offset, 3 * CASES_PER_RUN))
    after.flush()
    assert airflow.opened() == ids(3 * CASES_PER_RUN)


def test_frauds_of_all_partitions_share_a_run():
    store, airflow = MemoryStore(), Airflow()
    sink = sink_on(store, airflow)
    partitions = [Partition(FRAUD_TRANSACTION, number) for number in range(6)]
    for partition in partitions:
        sink.assigned(partition, None)
        sink.write(frauds(0, 2, partition))
        sink.write(frauds(2, 3, partition))
    assert sink.flush() == dict.fromkeys(partitions, 3)
    assert list(map(len, airflow.runs.values())) == [18]


def test_72_hours_of_cases_that_come_one_by_one_are_fewer_than_ten_thousand_runs():
    now, runs = 0.0, 0
    budget = Budget(lambda: now)  # of a consumer's task of an hour; the next task has its own budget
    while now < 3600:
        now += 2
        if budget.left():
            budget.take()
            runs += 1
    assert runs > 120
    assert 72 * runs < 10_000


def test_a_case_that_comes_alone_is_opened_after_the_wait_and_many_in_a_row_after_half_a_minute_at_most():
    now = 0.0
    budget, opened = Budget(lambda: now), []
    while now < 300:
        if budget.left():
            budget.take()
            opened.append(now)
        now += 1
    assert opened[:10] == list(range(10))
    assert max(later - earlier for earlier, later in pairwise(opened)) <= 31


def test_frauds_of_a_partition_that_another_reader_has_are_not_opened_here():
    store, airflow = MemoryStore(), Airflow()
    sink = sink_on(store, airflow)
    other = Partition(FRAUD_TRANSACTION, 4)
    for partition in (PARTITION, other):
        sink.assigned(partition, None)
        sink.write(frauds(0, 3, partition))
    sink.revoked([PARTITION])
    assert sink.flush() == {other: 3}
    assert airflow.opened() == [case_id(other, n) for n in range(3)]
    assert sink.flush() == {}


def test_runs_that_are_opened_without_a_budget_delay_the_next_ones_by_nothing():
    now = 0.0
    budget = Budget(lambda: now)
    for _ in range(30):  # a consumer that ends opens the cases that it has
        budget.take()
    assert not budget.left()
    now = 29.9
    assert not budget.left()
    now = 30.0
    assert budget.left()


def test_a_claim_of_another_version_stops_with_what_to_do():
    store, airflow = MemoryStore(), Airflow()
    sink = sink_on(store, airflow)
    sink.assigned(PARTITION, None)
    link = Link(PARTITION, 0, 0, 1, totals_of(np.array([0])))
    day = datetime.fromtimestamp(MIDNIGHT_MS / 1000, UTC).date()
    name = object_name("_cases", day, *PARTITION, 0)
    store.create(name, gzip.compress(b'{"idTransaction": "tx-0"}'), content_type=GZIP, metadata=link.metadata())
    sink.write(frauds(0, 1))
    with pytest.raises(LakeError, match="holds no plan of a DAG run"):
        sink.flush()
    assert airflow.runs == {}
