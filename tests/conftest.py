"""The running stack, for tests that talk to real components."""

import os
from collections.abc import Iterator, Mapping

import hypothesis
import pytest
from fraudstream.lake.store import Store
from fraudstream.settings import Settings

from local.control import Control
from local.demo.airflow_api import AirflowApi
from local.environment import LOGS, STACK, stack_environment
from local.parts import stack_parts
from local.ports import Ports

# A deadline for each example would measure the machine, not the code.
hypothesis.settings.register_profile("fraudstream", deadline=None)
hypothesis.settings.load_profile("fraudstream")


@pytest.fixture(scope="session")
def stack() -> Iterator[Mapping[str, str]]:
    """Environment of the local stack, which is started unless it runs, and then taken down at the end."""
    control = Control(STACK, LOGS)
    running = bool(control.status())
    control.up(stack_parts(lambda what: print(f"downloading {what}")), lambda parts: None)
    environment = stack_environment()
    before = dict(os.environ)
    os.environ.update(environment)
    yield environment
    os.environ.clear()
    os.environ.update(before)
    if not running:
        control.down()


@pytest.fixture(scope="session")
def settings(stack: Mapping[str, str]) -> Settings:
    """Settings that point to the stack."""
    return Settings()


@pytest.fixture(scope="session")
def lake(settings: Settings) -> Store:
    """The stack's lake."""
    return Store.connect(settings.lake_bucket)


@pytest.fixture(scope="session")
def airflow(stack: Mapping[str, str]) -> Iterator[AirflowApi]:
    """The stack's Airflow, with all DAGs parsed."""
    with AirflowApi(Ports.from_environment().url("airflow")) as api:
        api.wait_for_dags({"start_kafka", "audit_lake"})
        yield api
