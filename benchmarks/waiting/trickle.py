"""Lets a case arrive every half second, opened by the pipeline's DAGs, and counts the DAG runs."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.harness.rounds import BenchmarkFailed
from benchmarks.waiting.airflow import Airflow, heartbeats
from benchmarks.waiting.customers import Customers
from benchmarks.waiting.progress import wait_for_count
from benchmarks.waiting.stages import trickle_cases

CONSUMER = "consume_fraud_transactions"
PER_SECOND = 2
_AFTER_THE_LAST = 180.0


def trickle(airflow: Airflow, customers: Customers, say: Callable[[str], None]) -> tuple[list[str], dict[str, Any]]:
    """Produces frauds until all cases wait; returns their ids, and the number of runs, seconds and oldest heartbeats.

    :raises BenchmarkFailed: not all cases wait in time
    """
    count = trickle_cases()
    before, waited_before, known = airflow.runs(), airflow.waiting(), set(customers.frauds())

    def waiting() -> int:
        return airflow.waiting() - waited_before

    started = time.monotonic()
    with heartbeats(airflow) as worst:
        customers.replay(count, count, rows_per_second=PER_SECOND)
        wait_for_count(waiting, count, count / PER_SECOND + _AFTER_THE_LAST, say, "trickle, waiting")
    if (found := waiting()) != count:
        raise BenchmarkFailed(f"{found:,} cases wait {_AFTER_THE_LAST:.0f} s after the last came, not {count:,}")
    airflow.api.pause(CONSUMER, True)
    figures = {
        "cases": count,
        "runs": airflow.runs() - before,
        "seconds": round(time.monotonic() - started),
        "oldest_heartbeats": worst,
    }
    say(f"trickle: {figures}")
    return [case for case in customers.frauds() if case not in known], figures
