"""The schedules of the long-running DAGs, whose effects only show after days."""

from datetime import UTC, datetime, timedelta

import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from fraudstream.orchestration.consumers.consumer_dags import POOL

from tests.unit.orchestration.dags.dag_files import CONSUMERS, load


@pytest.mark.parametrize("name", CONSUMERS)
def test_a_consumer_run_that_ends_is_followed_by_another(name: str) -> None:
    dag = load(name)
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=False)
    logical_dates = []
    interval = None
    for _ in range(4):
        following = dag.timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction)
        interval = following.data_interval
        logical_dates.append(following.logical_date)
    assert len(set(logical_dates)) == 4


@pytest.mark.parametrize("name", CONSUMERS)
def test_members_of_consumer_groups_share_a_pool_and_nothing_else_waits_for_it(name: str) -> None:
    assert {task.task_id for task in load(name).tasks if task.pool != POOL} == {"workers"}


@pytest.mark.parametrize("name", CONSUMERS)
@pytest.mark.parametrize(("lasted", "pause"), [(1, 59), (59, 1), (3600, 0)])
def test_runs_that_fail_at_once_are_a_minute_apart(name: str, lasted: int, pause: int) -> None:
    dag = load(name)
    now = datetime.now(UTC)
    last = DataInterval(now - timedelta(hours=2), now - timedelta(seconds=lasted))
    restriction = TimeRestriction(earliest=dag.start_date, latest=None, catchup=False)
    following = dag.timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
    assert (following.run_after - now).total_seconds() == pytest.approx(pause, abs=0.5)
    assert following.data_interval.start == last.end
