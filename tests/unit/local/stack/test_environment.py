"""The environment of the stack's processes: complete, with the user's overrides, and without other variables."""

import json
from pathlib import Path

import pytest
from fraudstream.settings import Settings

from local.stack import environment


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose stack was never started."""
    monkeypatch.setattr(environment, "STACK", tmp_path / "stack")
    return tmp_path / "stack"


def test_settings_read_from_it_point_at_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.stack_environment({"FRAUDSTREAM_PORT_KAFKA_2": "40002"}).items():
        monkeypatch.setenv(name, value)

    settings = Settings()

    assert settings.kafka_bootstrap_servers == "127.0.0.1:19092,127.0.0.1:40002,127.0.0.1:19094"
    assert settings.confirmation_bind == "127.0.0.1:8085"


def test_what_the_user_sets_for_the_pipeline_wins() -> None:
    theirs = {"FRAUDSTREAM_LAKE_BUCKET": "mine", "AIRFLOW_CONN_SMTP_DEFAULT": "smtp://mail.example:25"}

    made = environment.stack_environment(theirs)

    assert {name: made[name] for name in theirs} == theirs


def test_what_could_change_the_stacks_processes_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    leaks = {
        "PYTHONPATH": "/elsewhere",
        "PYTHONWARNINGS": "error",
        "AIRFLOW__CORE__EXECUTOR": "x",
        "AIRFLOW_HOME": "/x",
    }
    for name, value in leaks.items():
        monkeypatch.setenv(name, value)

    made = environment.stack_environment()

    assert not leaks.items() & made.items()


def test_secrets_are_made_once_for_the_owner_alone(state: Path) -> None:
    first, second = environment.stack_secrets(), environment.stack_secrets()

    assert first == second
    assert len(set(first.values())) == len(first)
    assert (state / "secrets.json").stat().st_mode & 0o077 == 0


def test_a_secret_that_an_older_checkout_lacks_is_made_and_the_others_stay(state: Path) -> None:
    before = environment.stack_secrets()
    older = {name: value for name, value in before.items() if name != "redis_password"}
    (state / "secrets.json").write_text(json.dumps(older))

    after = environment.stack_secrets()

    assert after.keys() == before.keys()
    assert older.items() <= after.items()
    assert after["redis_password"] not in older.values()
    assert [path.name for path in state.iterdir()] == ["secrets.json"]


def test_masked_shows_no_secret() -> None:
    shown = json.dumps(environment.masked(environment.stack_environment({})))

    assert [name for name, value in environment.stack_secrets().items() if value in shown] == []


def test_connections_are_json_that_airflow_reads() -> None:
    made = environment.stack_environment({"FRAUDSTREAM_PORT_SMTP": "40025"})

    connections = {name: json.loads(value) for name, value in made.items() if name.startswith("AIRFLOW_CONN_")}

    assert connections["AIRFLOW_CONN_SMTP_DEFAULT"]["port"] == 40025
    assert connections["AIRFLOW_CONN_GOOGLE_CLOUD_DEFAULT"]["extra"]["is_anonymous"] is True
