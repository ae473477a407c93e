"""Rules for every DAG file: parsing needs no settings except the queues, and tasks can be copied."""

import copy
from pathlib import Path

import pytest
from fraudstream.settings import get_settings

from tests.unit.orchestration.dags.dag_files import DAGS, parsed


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_a_setting_that_is_wrong_hides_no_dag(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUDSTREAM_KAFKA_PARTITIONS", "none")
    monkeypatch.setenv("FRAUDSTREAM_COMPUTE_INSTANCES", "no zone")
    get_settings.cache_clear()
    assert parsed(path).tasks


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.stem)
def test_tasks_are_copied_as_airflow_copies_them(path: Path) -> None:
    dag = parsed(path)
    copied = copy.deepcopy(dag)
    assert copied.task_ids == dag.task_ids
    for task in copied.tasks:
        if hasattr(task, "prepare_for_execution"):  # a mapped task is created when it runs
            assert task.prepare_for_execution().task_id == task.task_id


def test_a_consumer_s_task_is_copied_too() -> None:
    from fraudstream.orchestration.operators.kafka import Consume  # noqa: PLC0415 - after the settings of a test

    task = Consume(task_id="x", topic="fraud_transaction", role="write_lake", until="forever", max_minutes=1)
    copied = copy.deepcopy(task)
    copied.on_kill()
    assert (copied.role, task._killed_at) == ("write_lake", float("inf"))
