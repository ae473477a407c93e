"""The managed instance group of each VM: its health check must match the VM's containers."""

import re
from pathlib import Path
from typing import Any

import pytest
from airflow.utils.serve_logs.log_server import create_app  # noqa: TID251 - the server that a worker runs
from starlette.testclient import TestClient

from tests.unit.deploy.container_files import TERRAFORM, VMS, in_profile
from tests.unit.deploy.terraform_files import Block, load, unquote

#: Roles of VMs in a group; the health check of a worker is in its module.
GROUPED = [role for role in VMS if role != "kafka"]


def health(role: str) -> tuple[str, str]:
    """Port and path of the health check of the role's VM."""
    worker = role in ("worker", "signing-worker")
    blocks = load(TERRAFORM / "modules/worker") if worker else load(TERRAFORM)
    files = ["main.tf"] if worker else VMS[role]
    (asked,) = [b.body["health"] for b in blocks if b.kind == "module" and b.file in files]
    return str(asked["port"]), unquote(asked["path"])


def group(kind: str) -> dict[str, Any]:
    """The body of the module group's only resource of a kind."""
    (block,) = [b for b in load(TERRAFORM / "modules/group") if b.labels[:1] == (kind,)]
    return block.body


@pytest.mark.parametrize("role", GROUPED)
def test_the_port_of_a_health_check_is_published_by_the_role_s_containers(
    services: dict[str, dict[str, Any]], role: str
) -> None:
    port, _ = health(role)
    published = [port for service in in_profile(services, role).values() for port in service.get("ports", [])]
    assert [entry for entry in published if entry.startswith("${PUBLISH_ADDRESS:-127.0.0.1}:" + port + ":")]


@pytest.mark.parametrize("role", GROUPED)
def test_the_port_of_a_health_check_is_open_to_google_s_probes(blocks: list[Block], role: str) -> None:
    """And only to them: the source ranges of these rules are the load balancer's."""
    port, _ = health(role)
    (rules,) = [b.body["health_rules"] for b in blocks if b.kind == "locals" and "health_rules" in b.body]
    firewalls = {b.labels[1]: b.body for b in blocks if b.labels[:1] == ("google_compute_firewall",)}
    for name in ("health_checks", "load_balancer"):
        assert firewalls[name]["source_ranges"] == "${local.load_balancer_ranges}"
    if role == "site":
        assert f'"{port}"' in firewalls["load_balancer"]["allow"][0]["ports"]
    else:
        name = "workers" if role in ("worker", "signing-worker") else role.removeprefix("schema-")
        assert re.search(rf'\b{name}\b"? *[=:] *{{[^}}]*port"? *[=:] *"{port}"', str(rules))


def test_airflow_s_health_check_asks_what_its_container_is_asked(services: dict[str, dict[str, Any]]) -> None:
    port, path = health("airflow")
    assert f"http://127.0.0.1:{port}{path}'" in services["airflow-api-server"]["healthcheck"]["test"][-1]


def test_a_worker_s_log_server_answers_its_health_check_without_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__API__SECRET_KEY", "a-key-for-this-test")
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(tmp_path))
    client = TestClient(create_app())
    _, path = health("worker")
    assert client.get(path).status_code == 200
    assert client.get("/log/dag_id=secret").status_code == 403


def test_both_modules_give_boot_the_same_metadata() -> None:
    """A broker's VM has all metadata; in a group the template has the part that a release doesn't change."""
    (vm,) = [b.body for b in load(TERRAFORM / "modules/vm") if b.labels[:1] == ("google_compute_instance",)]
    fixed = group("google_compute_instance_template")["metadata"]
    preserved = group("google_compute_per_instance_config")["preserved_state"][0]["metadata"]
    assert {unquote(name) for name in preserved} == {
        "fraudstream-role",
        "fraudstream-release",
        "fraudstream-environment",
        "fraudstream-secrets",
        "startup-script",
    }
    own = {"fraudstream-role": "var.role", "startup-script": 'file("${path.module}/../vm/startup.sh")'}
    merged = {name: str(value) for name, value in (fixed | preserved).items()}
    assert merged.keys() == vm["metadata"].keys()
    different = {name for name, value in vm["metadata"].items() if merged[name] != str(value)}
    assert different == own.keys()


def test_a_group_leaves_the_load_balancer_before_it_is_deleted() -> None:
    """From production's two sites to a trial's one: otherwise Terraform deletes it first, which Google refuses."""
    assert group("google_compute_instance_group_manager")["lifecycle"][0]["create_before_destroy"] is True


def test_a_group_s_rights_outlive_its_vm() -> None:
    """IAM policies of an instance are deleted with it."""
    files = [*load(TERRAFORM / "modules/group"), *(b for b in load(TERRAFORM) if b.file == "login.tf")]
    kinds = {b.labels[0] for b in files if b.kind == "resource"}
    assert not {kind for kind in kinds if re.search(r"_instance_iam_", kind)}
    grants = [b for b in files if b.kind == "resource" and "_iam_member" in b.labels[0]]
    assert len(grants) == 4
    for grant in grants:
        expression = str(grant.body["condition"][0]["expression"])
        assert re.search(r"destination\.ip == |\.condition\b", expression), grant.address
