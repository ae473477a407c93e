"""Each fraud is in exactly one DAG run, whatever crashes when and however the batches are cut."""

from datetime import UTC, datetime, timedelta

from fraudstream.cases.opening import CASES_PER_RUN, CaseSink, case_of, transaction_of
from fraudstream.errors import PartitionLost
from fraudstream.kafka.records import FRAUD_TRANSACTION, Partition
from fraudstream.lake.stream.chain import ObjectChain
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import batch, row

PARTITION = Partition(FRAUD_TRANSACTION, 2)
LIMIT = timedelta(hours=72)


class Crash(Exception):
    """The process dies here."""


class Airflow:
    """Opens runs by id, once each, and may be the place of a crash."""

    def __init__(self) -> None:
        self.runs: dict[str, list[str]] = {}
        self.crash = False

    def open_run(self, run_id: str, conf: dict[str, list[dict[str, object]]]) -> None:
        if self.crash:
            raise Crash
        self.runs.setdefault(run_id, [case["idTransaction"] for case in conf["cases"]])

    def opened(self) -> list[str]:
        return sorted(case for cases in self.runs.values() for case in cases)


def frauds(first: int, end: int):
    offsets = list(range(first, end))
    return batch(offsets, rows=[row(n, isFraud=1, type="TRANSFER") for n in offsets], partition=PARTITION)


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
    assert f"{FRAUD_TRANSACTION}-2-0-{CASES_PER_RUN}" in airflow.runs


def test_records_that_were_passed_over_count_as_read():
    store, airflow = MemoryStore(), Airflow()
    sink = sink_on(store, airflow)
    sink.assigned(PARTITION, None)
    sink.write(batch([], rows=[], next_offset=9, partition=PARTITION))
    assert sink.flush() == {PARTITION: 9}
    assert airflow.runs == {}


def test_a_case_is_json_with_exact_money_and_comes_back_whole():
    transaction = row(1, isFraud=1, amount=5, step=None) | {"timestamp": datetime(2023, 10, 7, tzinfo=UTC)}
    opened = datetime(2026, 1, 1, 12, tzinfo=UTC)
    case = case_of(transaction, opened, LIMIT)
    assert (case["amount"], case["openedAt"], case["expiresAt"]) == (
        "0.05",
        "2026-01-01T12:00:00.000Z",
        "2026-01-04T12:00:00.000Z",
    )
    assert transaction_of(case) == transaction


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
