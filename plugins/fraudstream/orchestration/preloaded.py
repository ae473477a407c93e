"""Airflow's command line with the DAGs' modules imported: ``python -m fraudstream.orchestration.preloaded scheduler``.

What forks from it, a task of LocalExecutor or the parsing of a DAG file, shares the modules instead of importing them
again, which takes two seconds. Importing them starts no thread and opens nothing, so that forking stays safe.
"""

import importlib

from airflow.__main__ import main

_MODULES = (
    "airflow.providers.google.cloud.operators.compute",
    "fraudstream.orchestration.audit_operator",
    "fraudstream.orchestration.lake_operators",
    "fraudstream.orchestration.operators",
    "fraudstream.orchestration.sensors",
    "fraudstream.orchestration.spark_operators",
)

if __name__ == "__main__":
    for module in _MODULES:
        importlib.import_module(module)
    main()
