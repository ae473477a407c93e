"""Airflow's Celery worker, whose tasks end with it: ``python -m fraudstream.orchestration.worker --queues producer``.

On SIGTERM Celery takes no new tasks and waits for the running ones, which takes up to a day for a consumer. So each
task gets the signal, too: a consumer finishes its batch, commits and succeeds. A task without ``on_kill`` runs to its
end.
"""

import os
import signal
import sys
from contextlib import suppress
from typing import Any

from airflow.__main__ import main
from celery.signals import worker_shutting_down
from celery.worker import state

# Tasks fork from the worker and share its imported modules. Google's compute operators are not imported: they take
# 90 MiB in each worker, and only the two DAGs that start and stop machines need them.
from fraudstream.orchestration import sensors  # noqa: F401
from fraudstream.orchestration.operators import audit, kafka, lake, spark  # noqa: F401


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def end_tasks(how: str, **_: Any) -> None:
    """Passes a warm shutdown on to the processes that run tasks. Airflow's supervisor in each signals its task."""
    for request in list(state.active_requests) if how == "Warm" else ():
        with suppress(ProcessLookupError):
            os.kill(request.worker_pid, signal.SIGTERM)


if __name__ == "__main__":
    # Workers needn't know of each other: Airflow refuses to start a task that another worker has taken.
    sys.argv[1:1] = ["celery", "worker", "--without-gossip", "--without-mingle"]
    main()
