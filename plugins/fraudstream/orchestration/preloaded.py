"""Airflow's command line with the DAGs' modules imported: ``python -m fraudstream.orchestration.preloaded scheduler``.

Processes that it forks, for tasks of LocalExecutor or to parse DAG files, share the modules instead of importing them
again, which takes two seconds. The imports start no thread and open no connection, so that forking is safe.
"""

import importlib

from airflow.__main__ import main

_MODULES = (
    "airflow.providers.google.cloud.operators.compute",
    "fraudstream.orchestration.operators.audit",
    "fraudstream.orchestration.operators.lake",
    "fraudstream.orchestration.operators.kafka",
    "fraudstream.orchestration.sensors",
    "fraudstream.orchestration.operators.spark",
)

if __name__ == "__main__":
    for module in _MODULES:
        importlib.import_module(module)
    main()
