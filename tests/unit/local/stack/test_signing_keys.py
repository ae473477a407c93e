"""The links' keys are given to processes that sign or verify links, and to no other process of the stack."""

from pathlib import Path

import pytest

from local.programs import installed
from local.stack import applications, environment
from local.stack.environment import SIGNING_KEYS
from local.stack.ports import Ports


@pytest.mark.parametrize(
    ("celery", "holders"),
    [
        (False, {"airflow-scheduler", "confirmation"}),
        (True, {"airflow-worker-consumer-fraud", "confirmation"}),
    ],
    ids=["LocalExecutor", "CeleryExecutor"],
)
def test_only_the_site_and_who_mails_fraud_notices_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, celery: bool, holders: set[str]
) -> None:
    for module in (environment, applications, installed):
        if hasattr(module, "STACK"):
            monkeypatch.setattr(module, "STACK", tmp_path)
    for name in ("AIRFLOW_HOME", "AIRFLOW_PASSWORDS"):
        monkeypatch.setattr(applications, name, tmp_path / name)
    monkeypatch.delenv(SIGNING_KEYS)
    ports = Ports.from_environment({})
    parts = [*applications.airflow(ports, 2, celery=celery), *applications.pipeline(ports)]
    assert {part.name for part in parts if SIGNING_KEYS in part.env} == holders
