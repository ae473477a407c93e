"""DAG files as the DAG processor parses them, and as the scheduler loads them."""

import importlib.util
from pathlib import Path
from typing import Any

from airflow.serialization.serialized_objects import DagSerialization
from fraudstream.settings import ROOT

DAGS = sorted((ROOT / "dags").glob("*.py"))
CONSUMERS = [path.stem for path in DAGS if path.stem.startswith("consume_")]


def parsed(path: Path) -> Any:
    """The DAG of a file."""
    spec = importlib.util.spec_from_file_location(f"parsed_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, path.stem)()


def load(name: str) -> Any:
    """The DAG of a file as the scheduler loads it."""
    dag = parsed(ROOT / "dags" / f"{name}.py")
    return DagSerialization.from_dict(DagSerialization.to_dict(dag))
