"""`make check-services` reads docker/compose.yaml as Compose does, and knows every service."""

from pathlib import Path
from typing import Any

import pytest

from tests.containers.__main__ import PROFILES, batches, needs
from tests.containers.compose_file import Service, environment_file, filled, services
from tests.containers.dockerfile import stage
from tests.containers.images import known


@pytest.fixture(scope="module")
def local() -> dict[str, Service]:
    folder = Path(__file__).resolve().parents[4] / "docker"
    return services(folder / "compose.yaml", environment_file((folder / ".env").read_text()), PROFILES)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}:${B}", "1:"),
        ("${A:-2}:${B:-2}:${EMPTY:-2}", "1:2:2"),
        ("$$HOSTNAME ${A}", "$HOSTNAME 1"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, result: str) -> None:
    assert filled({"x": [text, 3]}, {"A": "1", "EMPTY": ""}) == {"x": [result, 3]}


def test_a_service_has_what_it_is_given(local: dict[str, Service]) -> None:
    worker = local["worker"]
    assert worker.environment["WORKER_QUEUE"] == "default"
    assert worker.environment["STORAGE_EMULATOR_HOST"] == "http://gcs:4443", "from docker/.env"
    assert "FRAUDSTREAM_KAFKA_SASL_USERNAME" not in worker.environment, "it is set nowhere"
    assert "/run/secrets/fraudstream_kafka_sasl_password" in worker.secrets.values()
    assert '"$WORKER_QUEUE@$HOSTNAME"' in worker.raw["command"][-1]
    assert worker.tmpfs["/opt/airflow"] == "uid=50000,gid=0,mode=0700,size=256m"
    assert worker.health is not None
    assert (worker.health.command[:2], worker.health.timeout, worker.grace) == (["/bin/sh", "-c"], 90, 600)
    folder = Path(__file__).resolve().parents[4] / "docker/kafka"
    assert local["kafka-1"].volumes[0] == (str(folder), "/etc/fraudstream", True)
    assert local["kafka-1"].volumes[1] == ("kafka-1", "/var/lib/kafka/data", False)


def test_a_service_comes_after_those_that_it_needs_and_brokers_come_together(local: dict[str, Service]) -> None:
    order = batches(needs(local))
    assert sorted(name for batch in order for name in batch) == sorted(local)
    place = {name: number for number, batch in enumerate(order) for name in batch}
    assert len({place[f"kafka-{number}"] for number in (1, 2, 3)}) == 1
    for first, then in (
        ("postgres", "schema-registry"),
        ("kafka-1", "topics"),
        ("airflow-migrate", "airflow-api-server"),
        ("airflow-api-server", "worker"),
        ("redis", "worker"),
        ("topics", "site"),
    ):
        assert place[first] < place[then], (first, then)


def test_every_image_has_a_program_or_a_reason_why_not(compose: dict[str, Any], local: dict[str, Service]) -> None:
    assert {service.image.partition(":")[0] for service in local.values()} == known()
    assert local.keys() == {name for name, raw in compose["services"].items() if PROFILES & set(raw["profiles"])}


def test_our_images_are_read_from_the_dockerfile(root: Path) -> None:
    airflow, site = (stage(root / "docker/Dockerfile", name) for name in ("airflow", "site"))
    assert airflow.environment["PATH"].startswith("/opt/venv/bin:/usr/local/sbin:")
    assert airflow.environment["AIRFLOW_HOME"] == "/opt/airflow"
    assert "AIRFLOW_HOME" not in site.environment
    assert (airflow.user, site.user, site.workdir) == ("50000", "50000", "/opt/fraudstream")
    assert site.command == ["python", "-m", "fraudstream.site"]
    assert airflow.copies == {name: f"/opt/fraudstream/{name}" for name in ("include", "plugins", "dags")}
    assert site.copies.keys() == {"include", "plugins/fraudstream"}
