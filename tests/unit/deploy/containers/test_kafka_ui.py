"""Access to the Kafka UI: only with a password, and on Google Cloud only for operators, who can only read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.container_files import rights
from tests.unit.deploy.terraform_files import Block, load, texts, unquote

#: Port of the UI on the registry's VM.
PORT = "9080"
#: The address range from which Identity-Aware Proxy opens its tunnels.
TUNNELS = "35.235.240.0/20"
IAP_ROLE = "roles/iap.tunnelResourceAccessor"


@pytest.mark.parametrize("file", ["docker/local/secrets/kafka_ui.yaml", "docker/vm/templates/registry/kafka_ui.yaml"])
def test_it_asks_for_a_password(root: Path, file: str) -> None:
    """With type DISABLED everyone who reached the local UI's port could delete topics."""
    config = yaml.safe_load((root / file).read_text())
    assert config["auth"]["type"] == "LOGIN_FORM"
    assert config["spring"]["security"]["user"].keys() == {"name", "password"}


def test_on_google_cloud_it_reads_as_a_user_that_only_reads(root: Path) -> None:
    text = (root / "docker/vm/templates/registry/kafka_ui.yaml").read_text()
    config = yaml.safe_load(text)
    assert config["spring"]["security"]["user"]["password"] == "$kafka_ui_password"
    (cluster,) = config["kafka"]["clusters"]
    assert cluster["readOnly"] is True
    assert 'username="monitor"' in cluster["properties"]["sasl.jaas.config"]
    of_monitor = {operation for right in rights(root) if right.user == "monitor" for operation in right.operations}
    assert of_monitor <= {"Describe", "DescribeConfigs", "Read"}


def test_its_port_is_published_to_the_vm_s_private_address_alone(services: dict[str, dict[str, Any]]) -> None:
    assert services["kafka-ui"]["ports"] == [f"${{PUBLISH_ADDRESS:-127.0.0.1}}:{PORT}:8080"]


def test_only_a_tunnel_reaches_its_port(blocks: list[Block]) -> None:
    rules = [block for block in blocks if block.labels[:1] == ("google_compute_firewall",)]
    open_to = [rule for rule in rules if opens(rule)]
    assert [rule.labels[1] for rule in open_to] == ["iap_pages"]
    assert [unquote(source) for source in open_to[0].body["source_ranges"]] == [TUNNELS]
    (internal,) = [block.body["internal_rules"] for block in blocks if "internal_rules" in block.body]
    assert len(internal) >= 5
    assert PORT not in set(texts(internal))


def opens(rule: Block) -> bool:
    """Whether a rule allows the port on one of the project's VMs; Spark's machines don't count."""
    ports = [unquote(port) for allow in rule.body["allow"] for port in allow.get("ports", ["all"])]
    return rule.labels[1] != "spark" and bool({PORT, "all"} & set(ports))


def test_operators_alone_open_a_tunnel_to_it(root: Path, blocks: list[Block]) -> None:
    """Users who may only log in to Airflow have a tunnel to the VM airflow and its page."""
    modules = {"": blocks} | {name: load(root / "terraform/modules" / name) for name in ("group", "vm", "worker")}
    grants = {
        (module, block.labels[1]): block.body
        for module, found in modules.items()
        for block in found
        if block.kind == "resource" and IAP_ROLE in {unquote(text) for text in texts(block.body)}
    }
    assert grants.keys() == {("", "airflow_users"), ("group", "operators"), ("vm", "operators")}
    (condition,) = grants["", "airflow_users"]["condition"]
    assert "${module.airflow.address}" in condition["expression"]
    assert condition["expression"].endswith('destination.port == 8080"')
    assert {grants[module, "operators"]["for_each"] for module in ("group", "vm")} == {"${toset(var.operators)}"}
    (registry,) = [block for block in blocks if block.kind == "module" and block.labels == ("registry",)]
    assert registry.body["operators"] == "${var.operators}"
