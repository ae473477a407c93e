"""Airflow's Celery worker, whose tasks end with it: ``python -m fraudstream.orchestration.worker --queues producer``.

On SIGTERM Celery takes no new task and waits for those at hand, which for a consumer is up to a day. So each of them
gets the signal too: a consumer finishes its batch, commits and succeeds; what has no ``on_kill`` runs to its end.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Any

from airflow.__main__ import main
from celery.signals import worker_shutting_down
from celery.worker import state

# Tasks fork from the worker and share what it has imported. Google's compute operators stay out: they would be
# 90 MiB in each worker, for the two DAGs that start and stop machines.
from fraudstream.orchestration import audit_operator, lake_operators, operators, sensors, spark_operators  # noqa: F401


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def end_tasks(how: str, **_: Any) -> None:
    """Passes a warm shutdown on to the processes that run a task: Airflow's supervisor in each tells its task."""
    for request in list(state.active_requests) if how == "Warm" else ():
        with suppress(ProcessLookupError):
            os.kill(request.worker_pid, signal.SIGTERM)


if __name__ == "__main__":
    # workers need nothing of each other: Airflow refuses what another has taken
    sys.argv[1:1] = ["celery", "worker", "--without-gossip", "--without-mingle"]
    main()
