"""docker/compose.yaml has the variables, settings and modules that the code knows. No Docker is needed."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fraudstream.orchestration.consumers.consumer_dags import POOL
from fraudstream.settings import Settings

from local.stack import celery, environment
from tests.unit.deploy.container_files import OURS, VMS, given, in_profile
from tests.unit.deploy.terraform_files import Block

#: Settings that no container gets: they need secret files of a client certificate or a registry with a password, which
#: would have to exist.
NOT_IN_CONTAINERS = {"kafka_ssl_key_password", "schema_registry_password"}


#: Settings that only the receiver of returned mails reads.
RECEIVERS = {"mail_bounce_bind", "mail_webhook_bind", "mail_webhook_keys"}


def unknown_settings(texts: dict[str, str]) -> set[tuple[str, str]]:
    """(file, name) of each FRAUDSTREAM_ variable in the files' texts that isn't a setting."""
    known = {f"FRAUDSTREAM_{field.upper()}" for field in Settings.model_fields} | {"FRAUDSTREAM_SECRETS_DIR"}
    used = {
        (file, name) for file, text in texts.items() for name in re.findall(r"\bFRAUDSTREAM_(?!_)[A-Z_]+[A-Z]", text)
    }
    return {(file, name) for file, name in used if name not in known}


class TestNamesThatTheCodeKnows:
    def test_every_fraudstream_variable_is_a_setting(self, root: Path) -> None:
        files = [*(root / "docker").rglob("*"), *(root / "terraform").rglob("*.tf"), root / "docs/deploy.md"]
        written = (path for path in files if path.is_file() and path.suffix != ".pyc")
        texts = {str(path): path.read_text() for path in written}
        assert sum(text.count("FRAUDSTREAM_") for text in texts.values()) > 50
        assert unknown_settings(texts) == set()

    @pytest.mark.parametrize(
        "line", ["FRAUDSTREAM_LAKE_BUKET = var.x", "      FRAUDSTREAM_KAFKA_SASL_USER:", "${FRAUDSTREAM_QUEUE:-a}"]
    )
    def test_a_name_that_is_no_setting_would_be_found(self, line: str) -> None:
        found = unknown_settings({"good": "FRAUDSTREAM_LAKE_BUCKET: x", "bad": line})
        assert [file for file, _ in found] == ["bad"]

    def test_every_secret_of_the_settings_is_named_as_the_settings_read_it(
        self, services: dict[str, dict[str, Any]]
    ) -> None:
        known = {f"fraudstream_{field}" for field in Settings.model_fields}
        targets = {
            secret["target"]
            for service in services.values()
            for secret in service.get("secrets", [])
            if isinstance(secret, dict)
        }
        assert targets == {
            "fraudstream_confirmation_keys",
            "fraudstream_customer_database_uri",
            "fraudstream_kafka_sasl_password",
            "fraudstream_lake_catalog_uri",
            "fraudstream_login_client_secret",
            "fraudstream_mail_bounce_keys",
            "fraudstream_mail_webhook_keys",
        }
        assert targets <= known

    def test_every_setting_reaches_the_tasks_or_the_site(self, services: dict[str, dict[str, Any]]) -> None:
        """A documented setting that no container gets couldn't be set in this deployment."""

        def reached(service: str) -> set[str]:
            secrets = [s["target"] for s in services[service]["secrets"] if isinstance(s, dict)]
            names = [*services[service]["environment"], *(target.upper() for target in secrets)]
            return {name.removeprefix("FRAUDSTREAM_").lower() for name in names if name.startswith("FRAUDSTREAM_")}

        everything = set(Settings.model_fields)
        containers = ("worker", "site", "bounces", "airflow-api-server")
        assert everything - set().union(*map(reached, containers)) == NOT_IN_CONTAINERS
        assert {f for f in everything if f.startswith(("kafka_", "schema_", "lake_", "mail_", "dataset"))} - reached(
            "worker"
        ) == NOT_IN_CONTAINERS | RECEIVERS, "tasks need these"
        assert {"mail_bounce_keys", "mail_envelope_sender", *RECEIVERS} <= reached("bounces")
        assert {f for f in everything if f.startswith("customer_")} <= reached("airflow-api-server"), (
            "the page Cases sends notices again"
        )

    def test_every_airflow_variable_is_an_option_of_airflow_or_celery(self, root: Path, tmp_path: Path) -> None:
        """Read in a separate process: importing Airflow would configure logging for the other tests."""
        script = (
            "import json; from airflow.configuration import conf;"
            "from airflow.providers_manager import ProvidersManager;"
            "ProvidersManager().initialize_providers_configuration();"
            "print(json.dumps({s.upper(): [k.upper() for k in o['options']]"
            " for s, o in conf.configuration_description.items()}))"
        )
        environment = {"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        options: dict[str, list[str]] = json.loads(done.stdout.strip().splitlines()[-1])
        text = (root / "docker/compose.yaml").read_text() + (root / "docker/Dockerfile").read_text()
        names = set(re.findall(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)(?=[:=])", text))
        assert len(names) > 15
        unknown = {
            (section, option)
            for section, option in names
            if option.removesuffix("_CMD") not in options.get(section, [])
        }
        assert unknown == set()

    def test_celery_runs_in_containers_as_on_the_local_stack(
        self, services: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environment, "STACK", tmp_path)
        alike = {
            "AIRFLOW__CELERY__SYNC_PARALLELISM",
            "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER",
            "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT",
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT",
            "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE",
        }
        local = environment.stack_environment({}) | celery.EXECUTOR
        shared = re.compile(r"AIRFLOW__(CELERY|SCHEDULER)|AIRFLOW__CORE__EXECUTOR$|FRAUDSTREAM_QUEUE_")
        for name, service in services.items():
            if name.startswith("worker"):
                there = {variable.removesuffix("_CMD") for variable in service["environment"] if shared.match(variable)}
                here = {variable for variable in local if shared.match(variable)}
                assert there - {"AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"} == here, name
                assert {v: service["environment"][v] for v in alike} == {v: local[v] for v in alike}, name

    def test_a_parse_that_is_ended_once_hides_no_dag_from_the_scheduler(
        self, services: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow takes such a parse for one that didn't find the DAG; the next parse comes an interval later."""
        monkeypatch.setattr(environment, "STACK", tmp_path)
        defaults = {"STALE_DAG_THRESHOLD": 50, "MIN_FILE_PROCESS_INTERVAL": 30, "DAG_FILE_PROCESSOR_TIMEOUT": 50}
        for where in (environment.stack_environment({}), services["airflow-dag-processor"]["environment"]):
            seconds = {name: int(where.get(f"AIRFLOW__DAG_PROCESSOR__{name}", at)) for name, at in defaults.items()}
            longest = 2 * seconds["MIN_FILE_PROCESS_INTERVAL"] + seconds["DAG_FILE_PROCESSOR_TIMEOUT"]
            assert seconds["STALE_DAG_THRESHOLD"] > longest

    def test_each_roles_queue_has_a_worker_everywhere(
        self, services: dict[str, dict[str, Any]], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environment, "STACK", tmp_path)
        variables = services["airflow-dag-processor"]["environment"]
        roles = {value for name, value in variables.items() if name.startswith("FRAUDSTREAM_QUEUE_")}
        containers = {s["environment"]["WORKER_QUEUE"] for name, s in services.items() if name.startswith("worker-")}
        files = "".join(path.read_text() for path in (root / "terraform").glob("*.tf"))
        vms = set(re.findall(r'^\s*queue\s+= "(\w+)"', files, re.M))
        local = {word for part in celery.workers() for word in part.command} & (roles | {"default"})
        assert roles == containers == vms
        assert local == roles | {"default"}

    def test_the_consumers_pool_is_made_everywhere(
        self, services: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(environment, "STACK", tmp_path)
        assert f"airflow pools set {POOL} " in services["airflow-migrate"]["command"][-1]
        assert environment.CONSUMERS_POOL == POOL
        assert int(environment.stack_environment({})["AIRFLOW__CORE__PARALLELISM"]) > environment.CONSUMER_SLOTS

    def test_redis_keeps_in_containers_what_it_keeps_on_the_local_stack(
        self, services: dict[str, dict[str, Any]]
    ) -> None:
        _, *options = services["redis"]["command"]
        names = [option.removeprefix("--") for option in options[::2]]
        assert dict(zip(names, options[1::2], strict=True)) == celery.REDIS_KEEPS

    def test_one_service_builds_the_image_that_others_share(self, services: dict[str, dict[str, Any]]) -> None:
        """Compose builds services in parallel, and parallel builds of the same tag fail."""
        builds = {(service["image"], name) for name, service in services.items() if "build" in service}
        assert builds == {("fraudstream-airflow", "airflow-image"), (OURS["site"], "site")}
        users = {name: s for name, s in services.items() if s["image"] == OURS["airflow"]}
        assert len(users) > 10
        for name, service in users.items():
            assert service["pull_policy"] == "never", name

    def test_a_vm_builds_nothing_and_names_its_images_by_digest(
        self, services: dict[str, dict[str, Any]], blocks: list[Block], root: Path
    ) -> None:
        assert services["airflow-image"]["profiles"] == ["local"]
        assert '"up", "--no-build"' in (root / "docker/vm/boot.py").read_text()
        for profile, files in VMS.items():
            images = {service["image"] for service in in_profile(services, profile).values()} & set(OURS.values())
            needed = {name.upper() + "_IMAGE" for name, image in OURS.items() if image in images}
            for file in files:
                assert {name for name in given(blocks, file, "environment") if name.endswith("_IMAGE")} == needed
        (images,) = [b for b in blocks if b.kind == "variable" and b.labels == ("images",)]
        assert "@sha256:[0-9a-f]{64}" in images.body["validation"][0]["condition"]

    def test_every_module_that_a_container_runs_exists(self, services: dict[str, dict[str, Any]], root: Path) -> None:
        dockerfile = (root / "docker/Dockerfile").read_text()
        commands = [service.get("command", []) for service in services.values()]
        commands += [json.loads(line) for line in re.findall(r"^CMD (\[.*])$", dockerfile, re.M)]
        run = set(re.findall(r"python -m ([\w.]+)", "\n".join(" ".join(command) for command in commands)))
        assert run == {"fraudstream.kafka", "fraudstream.mail", "fraudstream.site", "fraudstream.orchestration.worker"}
        paths = {name: root / "plugins" / name.replace(".", "/") for name in run}
        there = [path.with_suffix(".py").exists() or (path / "__main__.py").exists() for path in paths.values()]
        assert all(there), paths

    def test_kafka_and_the_registry_are_the_versions_that_the_local_stack_runs(
        self, services: dict[str, dict[str, Any]], root: Path
    ) -> None:
        lock = (root / "local/programs/artifacts.lock").read_text()
        assert f"org.apache.kafka:kafka_2.13:{services['kafka']['image'].rpartition(':')[2]} " in lock
        assert f"apicurio-registry-app:{services['schema-registry']['image'].rpartition(':')[2]}:" in lock
