"""Samples are taken once in each slot of time, kept for a day, and read in their order."""

import json
from typing import Any

import pytest
from fraudstream.orchestration.monitoring import sampling
from fraudstream.orchestration.monitoring.metrics import report
from fraudstream.orchestration.monitoring.sampling import SECONDS, Sampling, create_table, read_history
from fraudstream.pipeline.airflow_health import Health
from fraudstream.pipeline.metrics import LAG
from fraudstream.pipeline.sampling.sample import Sample
from sqlalchemy import create_engine

SLOT = 100_000_000
NOW = SLOT * SECONDS + 1.0


class Sampler:
    """Counts the requested samples."""

    taken = 0

    def sample(self) -> Sample:
        self.taken += 1
        return Sample(float(self.taken), topics={"t": self.taken})


@pytest.fixture
def engine(tmp_path: Any) -> Any:
    engine = create_engine(f"sqlite:///{tmp_path}/airflow.db")
    create_table(engine)
    create_table.__wrapped__(engine)  # another process does that, too
    yield engine
    engine.dispose()


@pytest.fixture
def reported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(sampling, "read_health", lambda session, now: Health())
    monkeypatch.setattr(sampling, "report", lambda metric, value, **tags: found.append(metric.name))
    return found


def history(engine: Any, now: float = NOW) -> list[float]:
    with engine.connect() as connection:
        return [sample.at for sample in read_history(connection, now)]


def test_of_two_processes_one_takes_the_sample_of_a_slot(engine: Any, reported: list[str]) -> None:
    sampler = Sampler()
    one, other = (Sampling(engine, lambda: sampler) for _ in range(2))  # type: ignore[arg-type,return-value]
    assert [one.take(SLOT), other.take(SLOT), other.take(SLOT + 1)] == [True, False, True]
    assert history(engine, NOW + SECONDS) == [1.0, 2.0]
    assert reported.count("samples") == 2
    assert reported.count("end_offset") == 2


def test_a_day_is_kept_and_read_thinner_before_the_last_hour(engine: Any, reported: list[str]) -> None:
    sampling = Sampling(engine, Sampler)  # type: ignore[arg-type]
    day, hour = 24 * 3600 // SECONDS, 3600 // SECONDS
    old = [SLOT - 2 * day, SLOT - hour - 3, SLOT - hour - 4, SLOT - 1, SLOT]
    for slot in old:
        sampling.take(slot)
    # The first one is too old, and the second one is one of those that are left out.
    assert history(engine) == [3.0, 4.0, 5.0]
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM fraudstream_sample").scalar() == 4


def test_a_process_that_died_while_it_sampled_leaves_a_gap(engine: Any) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO fraudstream_sample (slot) VALUES (?)", (SLOT,))
    assert history(engine) == []


@pytest.mark.parametrize("change", [{"newer": 1}, {"cases": {"newer": 1}}, {"lake": {}, "groups": {"g": {"x": 1}}}])
def test_a_sample_that_another_version_took_is_left_out(
    engine: Any, reported: list[str], change: dict[str, Any]
) -> None:
    other = json.dumps(json.loads(Sample(7.0).to_json()) | change)
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO fraudstream_sample VALUES (?, ?)", (SLOT - 1, other))
    Sampling(engine, Sampler).take(SLOT)  # type: ignore[arg-type]
    assert history(engine) == [1.0]


def test_a_sample_of_a_clock_that_was_ahead_is_not_the_newest(engine: Any, reported: list[str]) -> None:
    sampling = Sampling(engine, Sampler)  # type: ignore[arg-type]
    for slot in (SLOT - 1, SLOT + 1000, SLOT):
        sampling.take(slot)
    assert history(engine) == [1.0, 3.0]


def test_a_metric_has_the_tags_that_its_table_says() -> None:
    with pytest.raises(ValueError, match="metric lag_records has the tags"):
        report(LAG, 1.0, topic="t")
