"""Days without a run are compacted by the next run."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.definitions.asset import AssetUniqueKey
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessor
from airflow.timetables.base import DataInterval, TimeRestriction
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction.pending import pending_days
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of
from fraudstream.lake.table.lake import Lake
from fraudstream.orchestration.operators import lake as lake_operators
from fraudstream.orchestration.operators.lake import CompactDay, CompleteDays, ListDays, MaintainTable
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.fakes.settled import settle
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION, batch
from tests.unit.orchestration.dags.dag_files import load

FOLDER = names.TRANSACTIONS
FIRST = date(2023, 10, 7)
DAYS = [FIRST + timedelta(days=n) for n in range(4)]


def put(lake: Lake, day: date, start: int, partition: Partition = PARTITION) -> None:
    """Writes an object of `day` with ten records from `start` on."""
    times = [MIDNIGHT_MS + (day - FIRST).days * DAY_MS] * 10
    made = batch(range(start, start + 10), partition=partition, timestamps=times)
    link = Link(partition, start, start, start + 10, totals_of(made.offsets, made.rows))
    name = names.object_name(FOLDER, day, *partition, start)
    body = igzip.compress(bytes(lines.transaction(made)))
    lake.store.create(name, body, content_type=GZIP, metadata=link.metadata())
    settle(lake.store, FOLDER, partition, start + 10)


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> Lake:
    filled = new_lake()
    for number, day in enumerate(DAYS):
        put(filled, day, 10 * number)
    monkeypatch.setattr(lake_operators, "lake_with_tables", lambda settings: filled)
    return filled


class Events(dict[Any, Any]):
    """The asset events of a task."""

    def __missing__(self, asset: Any) -> Any:
        self[asset] = OutletEventAccessor(key=AssetUniqueKey.from_asset(asset))
        return self[asset]


def run(before: date, keep_json_days: int = 0, taken: date | None = None) -> list[str]:
    """Runs compact_lake's tasks as of the start of `before`; returns the compacted days."""
    options = {"engine": "one_machine", "keep_json_days": keep_json_days}
    until = (taken or before).isoformat()
    found = ListDays(task_id="list", day="", before=until, only="one_machine", **options).execute({})
    for one in found:
        CompactDay(task_id="compact", keep_json_days=keep_json_days, **one).execute({})
    return [one["day"] for one in found]


def complete(before: date, *reports: dict[str, Any]) -> list[str]:
    """The days for which a run emits the table's asset."""
    events = Events()
    task = CompleteDays(task_id="complete", folder=FOLDER, before=before.isoformat(), reports=[list(reports), None])
    try:
        days = task.execute({"outlet_events": events})
    except AirflowSkipException:
        days = []
    emitted = {key for event in events.values() for key in event.partition_keys}
    assert emitted == set(days)
    MaintainTable(task_id="maintain", folder=FOLDER, before=before.isoformat()).execute({})
    return days


def rows(lake: Lake) -> list[int]:
    """The number of rows of each day in the table."""
    table = lake.tables.load(FOLDER)
    held = Counter(moment.date() for moment in table.scan().to_arrow()["recordTimestamp"].to_pylist()) if table else {}
    return [held[day] for day in DAYS]


def test_after_an_outage_of_days_there_is_one_run_and_it_compacts_all_that_are_over(lake: Lake) -> None:
    dag = load("compact_lake")
    midnight = datetime(2023, 10, 6, tzinfo=UTC)
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=False)
    last = DataInterval(midnight, midnight + timedelta(days=1))
    info = dag.timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
    assert info is not None
    assert info.run_after > datetime.now(UTC) - timedelta(days=2)  # one run, not one for each missed day

    assert run(before=DAYS[3]) == [day.isoformat() for day in DAYS[:3]]
    assert rows(lake) == [10, 10, 10, 0]
    assert run(before=DAYS[3]) == []


def test_a_late_record_brings_its_day_back(lake: Lake) -> None:
    run(before=DAYS[3])
    put(lake, FIRST, 0, Partition(PARTITION.topic, 5))
    assert run(before=DAYS[3]) == [FIRST.isoformat()]
    assert rows(lake) == [20, 10, 10, 0]


def test_days_whose_json_is_only_kept_need_no_task(lake: Lake) -> None:
    run(before=DAYS[3], keep_json_days=365)
    assert len([name for name in lake.store.objects if name.endswith(".json.gz")]) == 4
    assert run(before=DAYS[3], keep_json_days=365) == []
    assert run(before=DAYS[3]) == [day.isoformat() for day in DAYS[:3]]
    assert len([name for name in lake.store.objects if name.endswith(".json.gz")]) == 1


def test_more_days_than_airflow_maps_are_left_to_the_next_run(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_operators, "_MOST_DAYS", 2)
    assert run(before=DAYS[3]) == [day.isoformat() for day in DAYS[:2]]
    assert run(before=DAYS[3]) == [DAYS[2].isoformat()]


def test_a_folder_with_a_day_for_spark_gets_one_job_and_no_other_compaction(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each compaction also moves the days before its own."""
    large = {DAYS[0], DAYS[1]}
    for day in large:
        put(lake, day, 0, Partition(PARTITION.topic, 5 + DAYS.index(day)))
    sizes = pending_days(lake, FOLDER, None)
    least = min(sizes[day] for day in large)
    assert least > sizes[DAYS[2]]
    monkeypatch.setattr(
        lake_operators, "engine_for", lambda engine, size, settings: "spark" if size >= least else "one_machine"
    )

    def listed(only: str, before: date) -> list[str]:
        task = ListDays(task_id="list", day="", before=before.isoformat(), only=only, engine="by_size")
        return [one["day"] for one in task.execute({}) if one["folder"] == FOLDER]

    assert listed("spark", DAYS[3]) == [DAYS[1].isoformat()]
    assert listed("one_machine", DAYS[3]) == []
    compact(lake, FOLDER, DAYS[1])  # as the job does
    assert listed("spark", DAYS[3]) == []
    assert listed("one_machine", DAYS[3]) == [DAYS[2].isoformat()]


def test_a_day_is_complete_once_it_is_closed_and_all_its_json_is_moved_and_again_when_late_rows_came(
    lake: Lake,
) -> None:
    run(before=DAYS[2], taken=DAYS[3])  # the hour before DAYS[2] has ended: its JSON is also compacted
    assert complete(DAYS[2]) == [day.isoformat() for day in DAYS[:2]]
    assert complete(DAYS[2]) == []
    assert run(before=DAYS[3]) == []
    assert complete(DAYS[3]) == [DAYS[2].isoformat()]
    put(lake, FIRST, 0, Partition(PARTITION.topic, 5))
    assert complete(DAYS[3]) == []
    (one,) = ListDays(
        task_id="list", day="", before=DAYS[3].isoformat(), only="one_machine", engine="one_machine"
    ).execute({})
    report = CompactDay(task_id="compact", keep_json_days=0, **one).execute({})
    assert complete(DAYS[3], report) == [FIRST.isoformat()]
