"""The parts of CeleryExecutor: a queue for each role, a password that only its owner can read, matching limits."""

import os
import shlex
from pathlib import Path

import pytest
from fraudstream.orchestration.consumers.consumer_dags import PARAMS

from local import __main__ as command_line
from local.programs import installed
from local.stack import celery, environment
from local.stack.environment import stack_environment, stack_secrets
from local.stack.parts import Shape, shape_of
from local.stack.ports import Ports
from local.supervisor.control import Control
from local.supervisor.part import State, Status


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose stack was never started, in a folder with a space in its name."""
    folder = tmp_path / "my stack"
    monkeypatch.setattr(environment, "STACK", folder)
    monkeypatch.setattr(installed, "STACK", folder)
    return folder


def test_there_is_a_worker_for_each_roles_queue_and_one_for_the_rest() -> None:
    queues = {part.command[part.command.index("--queues") + 1]: part.name for part in celery.workers()}

    assert queues == {
        "default": "airflow-worker-default",
        "producer": "airflow-worker-producer",
        "consumer_fraud": "airflow-worker-consumer-fraud",
        "consumer_non_fraud": "airflow-worker-consumer-non-fraud",
    }


def test_roles_that_share_a_queue_share_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("CONSUMER_FRAUD", "CONSUMER_NON_FRAUD"):
        monkeypatch.setenv(f"FRAUDSTREAM_QUEUE_{role}", "consumers")

    assert [part.name for part in celery.workers()] == [
        "airflow-worker-consumers",
        "airflow-worker-default",
        "airflow-worker-producer",
    ]


def test_a_worker_has_none_of_the_secrets_that_containers_keep_from_theirs() -> None:
    assert stack_environment({}).keys() >= celery.NOT_FOR_WORKERS, "the others need them"
    workers = celery.workers()

    assert len(workers) == 4
    assert [part.name for part in workers if celery.NOT_FOR_WORKERS & part.env.keys()] == []


def test_redis_listens_on_loopback_with_a_password_that_no_command_line_shows(state: Path) -> None:
    part = celery.redis(Ports.from_environment({"FRAUDSTREAM_PORT_REDIS": "40001"}))

    config = Path(part.command[-1])
    options = dict(shlex.split(line) for line in config.read_text().splitlines())
    password = stack_secrets()["redis_password"]
    assert config.stat().st_mode & 0o077 == 0
    assert (options["bind"], options["port"], options["dir"]) == ("127.0.0.1", "40001", str(state / "redis"))
    assert options["requirepass"] == password
    assert [word for word in part.command if password in word] == []
    assert os.access(part.command[0], os.X_OK)


def test_the_redis_of_this_machine_goes_before_the_one_from_pypi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "redis-server"
    theirs.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert celery.redis(Ports.from_environment({})).command[0] == str(theirs)


def test_no_message_is_handed_out_again_while_the_longest_run_lasts() -> None:
    longest = 60 * PARAMS["max_minutes"].schema["maximum"]

    assert int(stack_environment({})["AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT"]) > longest


def test_a_member_may_wait_for_a_worker_as_long_as_the_longest_run_lasts() -> None:
    longest = 60 * PARAMS["max_minutes"].schema["maximum"]

    assert int(stack_environment({})["AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT"]) > longest


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        ([], Shape()),
        (["kafka-1", "airflow-triggerer"], Shape()),
        (["airflow-triggerer", "airflow-triggerer-2", "redis"], Shape(2, "celery")),
    ],
)
def test_a_running_stack_tells_its_shape(names: list[str], shape: Shape) -> None:
    assert shape_of([Status(name=name, state=State.READY) for name in names]) == shape


def test_the_executor_of_a_running_stack_is_not_changed_under_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Control, "status", lambda _: [Status(name="airflow-scheduler", state=State.READY)])

    assert command_line.main(["up", "--executor", "celery"]) == 1

    assert "runs with executor local, not celery; stop it first: make down" in capsys.readouterr().out
