"""docker/ held against the code it runs and against what Terraform gives each VM. No Docker is needed."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from fraudstream.orchestration.consumers.consumer_dags import POOL
from fraudstream.settings import Settings

from local import celery, environment

from .container_files import TERRAFORM, VMS, boot_module, given, in_profile, kafka_users, secret_names
from .terraform_files import Block, load, unquote

#: Services that end when they have done their work.
ONCE = {"airflow-image", "airflow-migrate", "topics", "dataset", "kafka-access"}
#: Settings that no container gets: for a client certificate or a registry with a password, whose secret files would
#: have to be there.
NOT_IN_CONTAINERS = {"kafka_ssl_key_password", "schema_registry_password"}
#: Settings that only the receiver of returned mails reads.
RECEIVERS = {"mail_bounce_bind", "mail_webhook_bind", "mail_webhook_keys"}
#: What docker/vm/boot.py gives compose on every VM.
FROM_BOOT = {"SECRETS", "PUBLISH_ADDRESS", "LOG_DRIVER"}
#: Our own images, as the compose file names them.
_OURS = {"airflow": "${AIRFLOW_IMAGE:-fraudstream-airflow}", "site": "${SITE_IMAGE:-fraudstream-site}"}

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z][A-Z0-9_]*)(?P<default>:-[^}]*)?}")


def unknown_settings(texts: dict[str, str]) -> set[tuple[str, str]]:
    """(file, name) of each FRAUDSTREAM_ variable in the files' texts that the settings don't read."""
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
        """A documented setting that no container gets is one that can't be set there."""

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

    def test_every_airflow_variable_is_an_option_of_airflow_or_celery(self, root: Path, tmp_path: Path) -> None:
        """Read in a process of its own: importing Airflow would configure logging for the other tests."""
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
        """It counts as one that did not find the DAG, and the next that finds it comes an interval later."""
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
        """Compose builds services in parallel, and builds of one tag fail each other."""
        builds = {(service["image"], name) for name, service in services.items() if "build" in service}
        assert builds == {("fraudstream-airflow", "airflow-image"), (_OURS["site"], "site")}
        users = {name: s for name, s in services.items() if s["image"] == _OURS["airflow"]}
        assert len(users) > 10
        for name, service in users.items():
            assert service["pull_policy"] == "never", name

    def test_a_vm_builds_nothing_and_names_its_images_by_digest(
        self, services: dict[str, dict[str, Any]], blocks: list[Block], root: Path
    ) -> None:
        assert services["airflow-image"]["profiles"] == ["local"]
        assert '"up", "--no-build"' in (root / "docker/vm/boot.py").read_text()
        for profile, files in VMS.items():
            images = {service["image"] for service in in_profile(services, profile).values()} & set(_OURS.values())
            needed = {name.upper() + "_IMAGE" for name, image in _OURS.items() if image in images}
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
        lock = (root / "local/artifacts.lock").read_text()
        assert f"org.apache.kafka:kafka_2.13:{services['kafka']['image'].rpartition(':')[2]} " in lock
        assert f"apicurio-registry-app:{services['schema-registry']['image'].rpartition(':')[2]}:" in lock


class TestWhatTheVmsAreGiven:
    def test_the_modules_take_each_role_that_boot_knows_and_compose_has(
        self, root: Path, compose: dict[str, Any]
    ) -> None:
        """A plan doesn't know a role that hangs on a secret's id: one that the module refuses fails only on apply."""
        (role,) = [b for b in load(TERRAFORM / "modules/group") if b.kind == "variable" and b.labels == ("role",)]
        taken = {"kafka", *re.findall(r'"([\w-]+)"', role.body["validation"][0]["condition"])}
        profiles = {profile for service in compose["services"].values() for profile in service["profiles"]}
        assert taken == set(boot_module(root).TEMPLATE_FOLDERS) == profiles - {"local", "monitoring"} == set(VMS)

    @pytest.mark.parametrize("service", ["site", "worker-consumer-fraud", "worker-consumer-non-fraud"])
    def test_the_banks_name_and_texts_reach_pages_and_mails(
        self, services: dict[str, dict[str, Any]], blocks: list[Block], service: str
    ) -> None:
        variables = {"FRAUDSTREAM_BANK_NAME", "FRAUDSTREAM_BANK_TEXTS"}
        of_the_bank = {f"FRAUDSTREAM_{name.upper()}" for name in Settings.model_fields if name.startswith("bank_")}
        assert variables <= of_the_bank <= services[service]["environment"].keys()
        for file in ("site.tf", "consumer_fraud.tf", "consumer_non_fraud.tf"):
            assert variables <= given(blocks, file, "environment"), file

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_terraform_gives_every_variable_that_its_containers_need(
        self, compose: dict[str, Any], blocks: list[Block], profile: str, file: str
    ) -> None:
        """A variable with a default is for the local profile, except those that would point a VM at local names."""
        services = in_profile(compose["services"], profile)
        text = yaml.safe_dump(services)
        needed = {match["name"] for match in _VARIABLE.finditer(text) if match["default"] in (None, ":-")}
        local_names = {name for name in compose["services"] if "local" in compose["services"][name]["profiles"]}
        needed |= {
            match["name"]
            for match in _VARIABLE.finditer(text)
            if re.search(rf"//?({'|'.join(local_names)})\b|kafka-1:", match["default"] or "")
        }
        assert needed - FROM_BOOT - given(blocks, file, "environment") == set()

    def test_compose_reads_each_variable_that_the_boot_adds(self, root: Path) -> None:
        (added,) = re.findall(r"environment \|= \{\n(.*?)\n    }", (root / "docker/vm/boot.py").read_text(), re.S)
        assert set(re.findall(r'"([A-Z_]+)":', added)) == FROM_BOOT
        compose = (root / "docker/compose.yaml").read_text()
        assert {match["name"] for match in _VARIABLE.finditer(compose)} >= FROM_BOOT

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_terraform_gives_no_variable_that_nothing_reads(
        self, root: Path, compose: dict[str, Any], blocks: list[Block], profile: str, file: str
    ) -> None:
        boot = boot_module(root)
        read = set(re.findall(r"[A-Z][A-Z0-9_]+", yaml.safe_dump(in_profile(compose["services"], profile))))
        for template in boot.templates_of(profile):
            read |= set(re.findall(r"\$([A-Z_]+)", template.read_text()))
        read |= {"CA_POOL"} if profile == "kafka" else set()  # read by boot.py itself
        upper = {name for name in given(blocks, file, "environment") if name.isupper()}
        # The tasks of all workers share one environment: queues of the others are read where DAGs are parsed.
        assert upper - read == set()

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_every_secret_file_of_a_vm_s_containers_is_fetched_or_made(
        self, root: Path, compose: dict[str, Any], blocks: list[Block], profile: str, file: str
    ) -> None:
        needed = {
            name for service in in_profile(compose["services"], profile).values() for name in secret_names(service)
        }
        made = {template.name for template in boot_module(root).templates_of(profile)}
        made |= {"kafka_keystore.pem"} if profile == "kafka" else set()
        fetched = given(blocks, file, "secrets")
        if profile == "kafka":  # a secret for each of local.kafka_users
            fetched |= {f"kafka_{user}_password" for user in kafka_users(blocks)}
        assert needed - made - fetched == set()

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_every_template_is_filled_by_what_its_vm_is_given(
        self, root: Path, blocks: list[Block], profile: str, file: str
    ) -> None:
        boot = boot_module(root)
        values = dict.fromkeys(given(blocks, file, "environment") | given(blocks, file, "secrets"), "1")
        for template in boot.templates_of(profile):
            filled = boot.fill(template.read_text(), values, template.name)
            if template.suffix == ".json":
                json.loads(filled)
            if template.suffix == ".yaml":
                yaml.safe_load(filled)

    def test_the_local_profile_has_an_example_of_every_secret_it_mounts(
        self, root: Path, services: dict[str, dict[str, Any]]
    ) -> None:
        needed = {name for service in in_profile(services, "local").values() for name in secret_names(service)}
        there = {path.name for path in (root / "docker/local/secrets").iterdir()} - {"README.md"}
        assert needed == there

    def test_no_example_that_airflow_reads_with_cat_ends_with_a_line_break(
        self, root: Path, services: dict[str, dict[str, Any]]
    ) -> None:
        """Airflow takes all that a command prints: the database was named "airflow\\n", and no container came up."""
        environment = services["airflow-scheduler"]["environment"]
        commands = [value for name, value in environment.items() if name.endswith("_CMD")]
        files = [re.sub("^cat /run/secrets/", "", command) for command in commands]
        assert len(files) == 6
        assert [f for f in files if (root / "docker/local/secrets" / f).read_text().endswith("\n")] == []

    def test_every_secret_is_declared_and_every_declared_one_is_used(self, compose: dict[str, Any]) -> None:
        used = {name for service in compose["services"].values() for name in secret_names(service)}
        assert used == set(compose["secrets"])
        assert all(value == {"file": f"${{SECRETS}}/{name}"} for name, value in compose["secrets"].items())


class TestHardening:
    def test_every_container_is_read_only_without_capabilities_and_bounded(
        self, services: dict[str, dict[str, Any]]
    ) -> None:
        for name, service in services.items():
            assert service["read_only"] is True, name
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
            assert re.fullmatch(r"(\$\{\w+:-)?\d+[mg]}?", service["mem_limit"]), name
            assert service["restart"].startswith("on-failure:" if name in ONCE else "unless-stopped"), name
            assert "privileged" not in service, name

    def test_every_container_that_stays_has_a_health_check(self, services: dict[str, dict[str, Any]]) -> None:
        assert {name for name, service in services.items() if "healthcheck" not in service} == ONCE - {"kafka-access"}

    def test_the_database_is_healthy_when_other_containers_reach_it(self, services: dict[str, dict[str, Any]]) -> None:
        """Its entry point runs databases.sql with a server of its own, which answers on the socket and then stops."""
        assert "--host=127.0.0.1" in services["postgres"]["healthcheck"]["test"]

    def test_a_check_that_starts_airflow_may_take_long(self, services: dict[str, dict[str, Any]]) -> None:
        """With more work than cores one took 83 s; five that take too long have the container restarted."""
        checks = {name: s["healthcheck"] for name, s in services.items() if s.get("healthcheck", {}).get("test")}
        heavy = {name: c["timeout"] for name, c in checks.items() if re.match("airflow|celery", c["test"][1])}
        assert len(heavy) == 8
        assert set(heavy.values()) == {"90s"}

    def test_a_triggerer_has_time_to_give_its_triggers_back(self, services: dict[str, dict[str, Any]]) -> None:
        """It gives its own process 10 s, as long as Docker waits by default before it kills both."""
        graces = [s.get("stop_grace_period") for name, s in services.items() if "triggerer" in name]
        assert graces == ["30s", "30s"]

    def test_memory_that_looks_like_a_disk_is_bounded(self, services: dict[str, dict[str, Any]]) -> None:
        """A tmpfs without a size may take half of the machine's memory."""
        mounts = [(name, mount) for name, service in services.items() for mount in service.get("tmpfs", [])]
        assert len(mounts) > 15
        assert [found for found in mounts if not re.search(r"[:,]size=(\d+m|\$\{WORKER_TMP:-1g})", found[1])] == []

    def test_a_broker_logs_to_standard_output_alone(self, root: Path) -> None:
        """Kafka's own configuration writes files, here into memory, and leaves standard output the half of it."""
        config = (root / "docker/kafka/log4j2.properties").read_text()
        assert re.findall(r"^appender\.\w+\.type = (\w+)$", config, re.M) == ["Console"]
        start = (root / "docker/kafka/start.sh").read_text()
        assert "-Dlog4j2.configurationFile=/etc/fraudstream/log4j2.properties" in start
        assert "export EXTRA_ARGS='-name kafkaServer'" in start  # the default ends with -loggc, a file

    def test_ports_listen_on_loopback_unless_a_vm_says_otherwise(self, services: dict[str, dict[str, Any]]) -> None:
        for name, service in services.items():
            for port in service.get("ports", []):
                assert port.startswith(("${PUBLISH_ADDRESS:-127.0.0.1}:", "127.0.0.1:")), (name, port)

    def test_images_of_others_are_pinned_to_a_version(self, services: dict[str, dict[str, Any]], root: Path) -> None:
        images = {service["image"] for service in services.values()} - set(_OURS.values()) - {"fraudstream-airflow"}
        images |= set(re.findall(r"^FROM (\S+:\S+)", (root / "docker/Dockerfile").read_text(), re.M))
        assert len(images) > 8
        assert {image for image in images if not re.search(r":v?\d+\.\d+(\.\d+)?", image)} == set()

    def test_no_password_stands_in_the_compose_file(self, services: dict[str, dict[str, Any]]) -> None:
        for name, service in services.items():
            for variable, value in (service.get("environment") or {}).items():
                if re.search(r"PASSWORD|SECRET|_KEY|_CONN(?!ECTIONS)|URL_CMD", variable) and not variable.endswith(
                    ("CONN_ID", "_LOCATION")
                ):
                    folder = "/tmp" if variable.endswith("PASSWORDS_FILE") else "/run/secrets"  # noqa: S108
                    backend = variable.startswith("AIRFLOW__SECRETS__")
                    assert backend or folder in value, (name, variable)

    def test_a_worker_has_neither_airflow_s_database_nor_what_signs_its_tokens(
        self, services: dict[str, dict[str, Any]], root: Path
    ) -> None:
        secrets = {"airflow_database_url", "airflow_fernet_key", "airflow_jwt_secret"}
        variables = {f"{name}_CMD" for name in celery.NOT_FOR_WORKERS}
        workers = {name: service for name, service in services.items() if "worker" in name}
        assert len(workers) == 5
        for name, service in workers.items():
            assert not secrets & secret_names(service), name
            assert not variables & set(service["environment"]), name
        assert secrets <= secret_names(services["airflow-scheduler"])
        assert variables <= set(services["airflow-scheduler"]["environment"])
        signers = {name for name, s in services.items() if "airflow_jwt_secret" in secret_names(s)}
        assert signers == {"airflow-api-server", "airflow-scheduler"}, "the others run code of DAGs, or need no token"
        variable = "AIRFLOW__API_AUTH__JWT_SECRET_CMD"
        assert signers == {name for name, s in services.items() if variable in (s.get("environment") or {})}
        text = (root / "terraform/secrets.tf").read_text()
        for secret in ("airflow_fernet_key", "airflow_jwt_secret", "database_password"):
            assert re.findall(rf"{secret} .*readers = (\[.*])", text) == ['["airflow"]'], secret

    def test_the_site_on_cloud_run_gets_each_secret_that_its_container_gets_on_a_vm(
        self, services: dict[str, dict[str, Any]], blocks: list[Block]
    ) -> None:
        """As variables and one file, since Cloud Run mounts no two secrets in one folder."""
        (service,) = (block for block in blocks if block.labels[:1] == ("google_cloud_run_v2_service",))
        (template,) = service.body["template"]
        (container,) = template["containers"]
        variables = {
            name for environment in container["dynamic"] for name in re.findall(r"FRAUDSTREAM_\w+", str(environment))
        }
        targets = {secret["target"] for secret in services["site"]["secrets"] if isinstance(secret, dict)}
        assert {target.upper() for target in targets} <= variables
        files = {unquote(item["path"]) for volume in template["volumes"] for item in volume["secret"][0]["items"]}
        assert files == secret_names(services["site"]) - {
            s["source"] for s in services["site"]["secrets"] if isinstance(s, dict)
        }
        ports = {unquote(port.split(":")[-1]) for port in services["site"]["ports"]}
        probes = [container[name][0]["http_get"][0]["port"] for name in ("startup_probe", "liveness_probe")]
        assert {str(container["ports"][0]["container_port"]), *map(str, probes)} == ports

    def test_people_log_in_with_google_where_terraform_says_so_and_only_the_api_server_knows_the_client(
        self, services: dict[str, dict[str, Any]], root: Path
    ) -> None:
        holders = {name for name, service in services.items() if "login_client_secret" in secret_names(service)}
        assert holders == {"airflow-api-server"}
        environment = services["airflow-api-server"]["environment"]
        file = Path(environment["AIRFLOW__FAB__CONFIG_FILE"])
        assert (root / file.relative_to("/opt/fraudstream")).exists(), "without it FAB asks for passwords"
        assert re.search(r"^COPY include /opt/fraudstream/include$", (root / "docker/Dockerfile").read_text(), re.M)
        assert int(environment["AIRFLOW__FAB__SESSION_MAX_LIFETIME_MINUTES"]) <= 12 * 60
        local = re.fullmatch(r"\$\{AIRFLOW_AUTH_MANAGER:-([\w.]+)}", environment["AIRFLOW__CORE__AUTH_MANAGER"])
        assert local is not None
        (given_,) = re.findall(r"AIRFLOW_AUTH_MANAGER\s+= (.+)", (root / "terraform/airflow.tf").read_text())
        for name in (local[1], *(f"airflow.{name}" for name in re.findall(r'\? "([\w.]+)" : ', given_))):
            module, _, cls = name.rpartition(".")
            assert f"class {cls}(" in Path(str(find_spec(module).origin)).read_text(), name

    def test_who_sends_mails_and_who_takes_them_back_have_the_keys_of_return_addresses(
        self, services: dict[str, dict[str, Any]]
    ) -> None:
        holders = {name for name, service in services.items() if "mail_bounce_keys" in secret_names(service)}
        assert holders == {name for name in services if "worker" in name} | {"bounces"}
        providers = {name for name, service in services.items() if "mail_webhook_keys" in secret_names(service)}
        assert providers == {"bounces"}

    def test_only_who_signs_or_reads_links_is_given_the_keys(
        self, services: dict[str, dict[str, Any]], blocks: list[Block], root: Path
    ) -> None:
        holders = {name for name, service in services.items() if "confirmation_keys" in secret_names(service)}
        assert holders == {"site", "signing-worker", "worker-consumer-fraud"}
        (readers,) = re.findall(r"confirmation_keys .*readers = (\[.*])", (root / "terraform/secrets.tf").read_text())
        assert json.loads(readers) == ["consumer-fraud", "site"]
        signing = {b.file for b in blocks if b.kind == "module" and "signing_keys" in b.body}
        assert signing == {"consumer_fraud.tf"}
