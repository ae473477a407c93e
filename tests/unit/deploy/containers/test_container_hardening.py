"""Containers have only the rights, secrets, ports and memory that they need."""

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from local.stack import celery
from tests.unit.deploy.container_files import OURS, secret_names
from tests.unit.deploy.terraform_files import Block, unquote

#: Services that end when their work is done.
ONCE = {"airflow-image", "airflow-migrate", "topics", "dataset", "kafka-access"}


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
        """The entry point runs databases.sql with a temporary server, which only listens on the socket."""
        assert "--host=127.0.0.1" in services["postgres"]["healthcheck"]["test"]

    def test_a_check_that_starts_airflow_may_take_long(self, services: dict[str, dict[str, Any]]) -> None:
        """With more work than cores a check took 83 s; after five timeouts the container is restarted."""
        checks = {name: s["healthcheck"] for name, s in services.items() if s.get("healthcheck", {}).get("test")}
        heavy = {name: c["timeout"] for name, c in checks.items() if re.match("airflow|celery", c["test"][1])}
        assert len(heavy) == 8
        assert set(heavy.values()) == {"90s"}

    def test_a_triggerer_has_time_to_give_its_triggers_back(self, services: dict[str, dict[str, Any]]) -> None:
        """It gives its own process 10 s, which is also Docker's default time before SIGKILL."""
        graces = [s.get("stop_grace_period") for name, s in services.items() if "triggerer" in name]
        assert graces == ["30s", "30s"]

    def test_memory_that_looks_like_a_disk_is_bounded(self, services: dict[str, dict[str, Any]]) -> None:
        """A tmpfs without a size may use half of the machine's memory."""
        mounts = [(name, mount) for name, service in services.items() for mount in service.get("tmpfs", [])]
        assert len(mounts) > 15
        assert [found for found in mounts if not re.search(r"[:,]size=(\d+m|\$\{WORKER_TMP:-1g})", found[1])] == []

    def test_a_broker_logs_to_standard_output_alone(self, root: Path) -> None:
        """By default Kafka writes files, which are in memory here, and only a part of its logs to standard output."""
        config = (root / "docker/kafka/log4j2.properties").read_text()
        assert re.findall(r"^appender\.\w+\.type = (\w+)$", config, re.M) == ["Console"]
        start = (root / "docker/kafka/start.sh").read_text()
        assert "-Dlog4j2.configurationFile=/etc/fraudstream/log4j2.properties" in start
        assert "export EXTRA_ARGS='-name kafkaServer'" in start  # the default has -loggc, which writes a file

    def test_ports_listen_on_loopback_unless_a_vm_says_otherwise(self, services: dict[str, dict[str, Any]]) -> None:
        for name, service in services.items():
            for port in service.get("ports", []):
                assert port.startswith(("${PUBLISH_ADDRESS:-127.0.0.1}:", "127.0.0.1:")), (name, port)

    def test_images_of_others_are_pinned_to_a_version(self, services: dict[str, dict[str, Any]], root: Path) -> None:
        images = {service["image"] for service in services.values()} - set(OURS.values()) - {"fraudstream-airflow"}
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
        """As variables and one file, because Cloud Run can't mount two secrets in one folder."""
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
