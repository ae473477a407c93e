"""Kills the producer's task repeatedly during a million rows. ``make chaos`` runs this after its own round.

The file's name keeps it out of ``make test``, where tests/integration/test_producer.py does the same with a small file.
"""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from fraudstream.dataset import open_source
from fraudstream.dataset.generator import plan, write_file
from fraudstream.kafka.records import FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from tests.integration.confirmations import until
from tests.integration.pipeline import ids

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

DAG, TASK = "produce_transactions", "produce"
ROWS, FRAUDS, KILLS = 1_000_000, 1_291, 10  # PaySim's share of frauds


def test_ten_kills_each_cleared_in_airflow_leave_every_row_once(
    settings: Settings, airflow: AirflowApi, tmp_path: Path
) -> None:
    path = tmp_path / "killed.csv"
    write_file(path, plan(ROWS, FRAUDS), 11, lambda rows: None)
    moments = random.Random(11)  # noqa: S311  the same moments in each run
    # The rate is so low that the end isn't reached before the last of ten kills.
    run = airflow.trigger(DAG, {"source": str(path), "rows_per_second": 40_000})
    for number in range(KILLS):
        until(lambda: _task(airflow, run)["state"] == "running", 120, f"try {number + 1} runs")
        time.sleep(moments.uniform(0.2, 4.0))
        task = _task(airflow, run)
        assert task["state"] == "running", f"try {number + 1} ended before it was killed: {task['state']}"
        os.kill(task["pid"], signal.SIGKILL)
        until(lambda: _task(airflow, run)["state"] == "up_for_retry", 120, f"Airflow sees the end of try {number + 1}")
        airflow.clear(DAG, run, TASK)
    airflow.wait(DAG, run, 300)
    prefix = open_source(str(path), None).id_prefix
    found = Counter(i for topic in (FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION) for i in ids(settings, topic, prefix))
    assert len(found) == ROWS
    assert set(found.values()) == {1}
    assert sum(1 for _ in ids(settings, FRAUD_TRANSACTION, prefix)) == FRAUDS


def _task(airflow: AirflowApi, run: str) -> dict[str, object]:
    (task,) = airflow.tasks(DAG, run)
    return task
