"""The benchmark `day`: the times of rows and answers, and calculations with the measurements."""

import json
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.settings import ROOT

from benchmarks import plots
from benchmarks.daily.costs import DATABASE, MACHINE_OF, Machine, dollars_per_million
from benchmarks.daily.findings import by_hour
from benchmarks.daily.pattern import HOURS, PAYSIM_HOURS, Habits, ages, hour_of, rows_until, used
from benchmarks.daily.tables import last_commit
from benchmarks.daily.usage import part_of
from tests.fakes.lakes import new_lake
from tests.unit.lake.compaction.engine_behaviour import DAY, all_folders

STARTED = datetime(2026, 11, 27, 20, tzinfo=UTC)


def test_rows_come_in_paysims_shares() -> None:
    until = rows_until(60_000)
    hours = [after - before for before, after in zip([0, *until], until, strict=False)]
    assert len(hours) == HOURS == 24
    assert until[-1] == sum(hours) == 60_000
    assert hours[4] == hours[5] == 0
    assert max(range(HOURS), key=hours.__getitem__) == 18
    for rows, published in zip(hours, PAYSIM_HOURS, strict=True):
        assert rows == pytest.approx(60_000 * published / sum(PAYSIM_HOURS), abs=1)


def test_no_row_is_lost_where_there_are_few() -> None:
    assert rows_until(3)[-1] == 3


def test_seven_of_ten_customers_answer_on_the_day() -> None:
    habits = Habits(1)
    customers = [habits.next() for _ in range(1_000)]
    answers = [habit for habit in customers if habit]
    assert len(answers) == 700
    assert sum(answer == "fraud" for answer, _ in answers) == 500
    hours = sorted(hours for _, hours in answers)
    assert hours[0] > 0
    assert hours[350] == pytest.approx(6, rel=0.1)


def test_the_same_seed_gives_the_same_customers() -> None:
    first, second = Habits(7), Habits(7)
    assert [first.next() for _ in range(20)] == [second.next() for _ in range(20)]


def test_a_tables_newest_row_ages_until_the_next_commit() -> None:
    assert ages([(10.0, 8.0), (20.0, 19.5)], 26.0) == [(10.0, 2.0), (20.0, 12.0), (20.0, 0.5), (26.0, 6.5)]


def test_only_a_table_with_rows_has_a_newest_row() -> None:
    lake = new_lake()
    assert last_commit(lake) is None
    lake.tables.load_or_create(TRANSACTIONS)
    assert last_commit(lake) is None
    begun = time.time()
    compact(all_folders(lake), TRANSACTIONS, DAY)
    committed, newest = last_commit(lake) or (0.0, 0.0)
    assert int(begun) <= committed <= time.time()
    assert datetime.fromtimestamp(newest, UTC).date() == DAY


@pytest.mark.parametrize(("at", "hour"), [(99, 0), (100, 0), (109.9, 0), (110, 1), (339.9, 23), (400, 23)])
def test_hours_of_a_day_of_240_seconds(at: float, hour: int) -> None:
    assert hour_of(at, 100, 240) == hour


def test_cpu_is_what_came_since_the_day_began() -> None:
    assert used({"site": 2.0, "brokers": 5.0}, {"site": 3.0, "brokers": 9.0, "send_mail": 7.0}) == {
        "send_mail": 7.0,
        "brokers": 4.0,
        "site": 1.0,
    }


def test_a_month_of_all_cpus_costs_the_machine() -> None:
    machine = Machine("any", 73.0, 4)
    assert machine.dollars_of_a_second * 730 * 3600 * 4 == pytest.approx(73)


def test_cost_is_for_a_million_records() -> None:
    found = dollars_per_million({"brokers": 60.0, "mail server": 99.0}, 60_000)
    assert found == {"brokers": pytest.approx(1_000 * 113.46 / 4 / (730 * 3600))}


def test_prices_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for machine in set(MACHINE_OF.values()) - {DATABASE}:
        assert f"{machine.name} at {machine.dollars}" in page
    assert re.search(r"2 vCPU . 0\.0413 \+ 8 GB . 0\.007 an hour, twice", page)
    assert DATABASE.dollars == pytest.approx(202, abs=1)


@pytest.mark.parametrize(
    ("name", "title", "part"),
    [
        ("kafka-2", "java kafka.Kafka", "brokers"),
        ("airflow-triggerer-2", "airflow triggerer", "triggerer"),
        ("airflow-scheduler", "airflow worker -- LocalExecutor: <idle>", "Airflow"),
        ("airflow-scheduler", f"airflow worker -- LocalExecutor: {'0' * 8}-0000-0000-0000-{'0' * 12}", "send_mail"),
        ("airflow-scheduler", f"airflow worker -- {'0' * 8}-0000-0000-0000-{'0' * 12}", "send_mail"),
        ("airflow-scheduler", f"airflow worker -- LocalExecutor: {'1' * 8}-0000-0000-0000-{'0' * 12}", "other tasks"),
        ("confirmation", "python -m fraudstream.site", "site"),
    ],
)
def test_each_process_counts_as_one_part(name: str, title: str, part: str) -> None:
    assert part_of(name, title, {f"{'0' * 8}-0000-0000-0000-{'0' * 12}": "send_mail"}) == part


def spans(*found: tuple[float, float]) -> pl.DataFrame:
    times = [STARTED + timedelta(seconds=at) for at, _ in found]
    return pl.DataFrame(
        {"at": pl.Series(times, dtype=pl.Datetime("ms", "UTC")), "seconds": [taken for _, taken in found]}
    )


def test_latencies_by_hour() -> None:
    found = by_hour(spans((0, 0.5), (12, 1.0), (13, 3.0)), spans((12, 5.0)), STARTED.timestamp(), 240)
    assert [hour["records"] for hour in found] == [1, 2, *[0] * 22]
    assert found[1]["mail"]["max"] == 3.0
    assert found[1]["lake"]["max"] == 5.0
    assert "lake" not in found[0]


def test_the_same_day_gives_the_same_picture(tmp_path: Path) -> None:
    hour = {"records": 10, "mail": {"p50": 0.1, "p99": 0.5}, "lake": {"p50": 2.0, "p99": 5.0}}
    measured = {
        "hours": [hour, {"records": 0}, *[hour] * 22],
        "seconds": 240.0,
        "ages": [[10.0, 2.0], [20.0, 12.0], [20.0, 0.5]],
        "cpu": {"brokers": 30.0, "site": 1.0},
        "rows": 60_000,
    }
    for name in ("one.svg", "two.svg"):
        plots.day(json.loads(json.dumps(measured)), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "brokers" in (tmp_path / "one.svg").read_text()
