"""Days on which nothing ran are compacted by the next run."""

from datetime import UTC, date, datetime, timedelta

import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction import manifest
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of
from fraudstream.orchestration import lake_operators
from fraudstream.orchestration.lake_operators import CompactDay, ListDays
from isal import igzip

from tests.fakes.memory_store import MemoryStore
from tests.fakes.settled import settle
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION, batch
from tests.unit.orchestration.test_schedules import load

FOLDER = names.TRANSACTIONS
FIRST = date(2023, 10, 7)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]


def put(store: MemoryStore, day: date, start: int, partition: Partition = PARTITION) -> None:
    """An object of `day` with ten records from `start` on."""
    times = [MIDNIGHT_MS + (day - FIRST).days * DAY_MS] * 10
    made = batch(range(start, start + 10), partition=partition, timestamps=times)
    link = Link(partition, start, start, start + 10, totals_of(made.offsets, made.rows))
    name = names.object_name(FOLDER, day, *partition, start)
    body = igzip.compress(bytes(lines.transaction(made)))
    store.create(name, body, content_type=GZIP, metadata=link.metadata())
    settle(store, FOLDER, partition, start + 10)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    filled = MemoryStore()
    for number, day in enumerate(DAYS):
        put(filled, day, 10 * number)
    monkeypatch.setattr(lake_operators, "lake", lambda settings: filled)
    return filled


def run(before: date, keep_json_days: int = 0) -> list[str]:
    """What a run of compact_lake does at the beginning of `before`; the days that it worked on."""
    options = {"engine": "one_machine", "keep_json_days": keep_json_days}
    found = ListDays(task_id="list", day="", before=before.isoformat(), only="one_machine", **options).execute({})
    for one in found:
        CompactDay(task_id="compact", keep_json_days=keep_json_days, **one).execute({})
    return [one["day"] for one in found]


def rows(store: MemoryStore) -> list[int]:
    return [manifest.load(store, FOLDER, day).rows for day in DAYS]


def test_after_an_outage_of_days_there_is_one_run_and_it_compacts_all_that_are_over(store: MemoryStore) -> None:
    dag = load("compact_lake")
    midnight = datetime(2023, 10, 6, tzinfo=UTC)
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=False)
    last = DataInterval(midnight, midnight + timedelta(days=1))
    info = dag.timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
    assert info is not None
    assert info.run_after > datetime.now(UTC) - timedelta(days=2)  # not one for each day since

    assert run(before=DAYS[3]) == [day.isoformat() for day in DAYS[:3]]
    assert rows(store) == [10, 10, 10, 0]
    assert run(before=DAYS[3]) == []


def test_a_late_record_brings_its_day_back(store: MemoryStore) -> None:
    run(before=DAYS[3])
    put(store, FIRST, 0, Partition(PARTITION.topic, 5))
    assert run(before=DAYS[3]) == [FIRST.isoformat()]
    assert rows(store) == [20, 10, 10, 0]


def test_days_whose_json_is_only_kept_need_no_task(store: MemoryStore) -> None:
    run(before=DAYS[3], keep_json_days=365)
    assert len([name for name in store.objects if name.endswith(".json.gz")]) == 4
    assert run(before=DAYS[3], keep_json_days=365) == []
    assert run(before=DAYS[3]) == [day.isoformat() for day in DAYS[:3]]
    assert len([name for name in store.objects if name.endswith(".json.gz")]) == 1


def test_more_days_than_airflow_maps_are_left_to_the_next_run(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_operators, "_MOST_DAYS", 2)
    assert run(before=DAYS[3]) == [day.isoformat() for day in DAYS[:2]]
    assert run(before=DAYS[3]) == [DAYS[2].isoformat()]
