"""The tests' own stack, for tests that need real components. A developer's running stack isn't touched."""

import os

# Set before any module determines the stack's folder. The number can be set, to run the tests twice at the same time.
os.environ.setdefault("FRAUDSTREAM_STACK", "9")
import time
from collections.abc import Iterator, Mapping

import hypothesis
import pytest
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.settings import Settings

from local.demo.airflow_api import AirflowApi
from local.stack.capacity import require_room
from local.stack.environment import LOGS, STACK, stack_environment
from local.stack.parts import stack_parts
from local.stack.ports import Ports
from local.supervisor.control import Control

# A deadline for each example would measure the machine instead of the code.
hypothesis.settings.register_profile("fraudstream", deadline=None)
hypothesis.settings.load_profile("fraudstream")


@pytest.fixture(scope="session")
def stack_stays() -> bool:
    """Whether the tests' stack was running before, so that it isn't stopped at the end."""
    return bool(Control(STACK, LOGS).status())


@pytest.fixture(scope="session")
def stack(stack_stays: bool) -> Iterator[Mapping[str, str]]:
    """Environment of the tests' stack. The stack is started if it doesn't run, and stopped at the end then."""
    control = Control(STACK, LOGS)
    if not stack_stays:
        require_room(STACK)
    control.up(stack_parts(lambda what: print(f"downloading {what}")), lambda parts: None)
    environment = stack_environment()
    before = dict(os.environ)
    os.environ.update(environment)
    with AirflowApi(Ports.from_environment().url("airflow")) as airflow:
        consuming = {dag for dag in airflow.unpaused() if dag.startswith("consume_")}
        _quiet(airflow, consuming)
    yield environment
    if consuming:
        with AirflowApi(Ports.from_environment().url("airflow")) as airflow:
            for dag in consuming:
                airflow.pause(dag, False)
    os.environ.clear()
    os.environ.update(before)
    if not stack_stays:
        control.down()


def _quiet(airflow: AirflowApi, consuming: set[str]) -> None:
    """Ends consumers that a demo left running: they would read in the same groups as the tests."""
    for dag in consuming:
        airflow.pause(dag, True)
        for run in airflow.runs(dag):
            if run["state"] in {"queued", "running"}:
                airflow.end(dag, run["dag_run_id"])
    admin = AdminClient(Settings().kafka_config())
    at_rest = {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}
    until = time.monotonic() + 60
    while groups := [g.group_id for g in admin.list_consumer_groups().result().valid if g.state not in at_rest]:
        assert time.monotonic() < until, f"{groups} are still read by somebody; stop them, or the stack: make down"
        time.sleep(0.5)


@pytest.fixture(scope="session")
def settings(stack: Mapping[str, str]) -> Settings:
    """Settings of the stack."""
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
