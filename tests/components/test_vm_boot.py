"""The unchanged terraform/modules/vm/startup.sh and docker/vm/boot.py in a network namespace with Google's services."""

import json
import shutil
import subprocess
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.container_files import VMS, boot_module, given, kafka_users, secret_names
from tests.unit.deploy.terraform_files import Block, load

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = ("unshare", "--user", "--map-root-user", "--net", "--mount")
ROLES = ("kafka", "registry", "airflow", "signing-worker", "site", "bounces")
IMAGE = "us-central1-docker.pkg.dev/p/fraudstream/{}@sha256:0"


@cache
def terraform() -> list[Block]:
    return load(ROOT / "terraform")


@cache
def machine(role: str) -> dict[str, Any]:
    """The metadata that Terraform gives the role's VM; each value contains its own name."""
    blocks = terraform()
    (file, *_) = VMS[role]
    names = given(blocks, file, "environment")
    environment = {name: IMAGE.format(name[:-6].lower()) if name.endswith("_IMAGE") else "7" for name in names}
    environment |= {name: "" for name in names if not name.isupper()}
    secrets = given(blocks, file, "secrets")
    if role == "kafka":
        secrets |= {f"kafka_{user}_password" for user in kafka_users(blocks)}
    return {
        "role": role,
        "environment": environment,
        "secrets": {name: f"projects/p/secrets/{name}" for name in secrets},
    }


@pytest.fixture(scope="module")
def boots(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One boot of each role, and of a VM one of whose secrets is missing."""
    if subprocess.run([*NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.fail(f"`{' '.join(NAMESPACE)} true` fails: run `sysctl kernel.unprivileged_userns_clone=1`, or as root")
    folder = tmp_path_factory.mktemp("vm")
    shutil.copytree(ROOT / "docker", folder / "docker", ignore=shutil.ignore_patterns("local", "__pycache__"))
    with zipfile.ZipFile(folder / "release.zip", "w") as release:
        for path in (folder / "docker").rglob("*"):
            release.write(path, path.relative_to(folder / "docker"))
    names = ",".join(f"DNS:{name}.googleapis.com" for name in ("secretmanager", "privateca", "storage"))
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "1",
            ),
            *("-subj", "/CN=google", "-addext", f"subjectAltName={names}"),
            *("-keyout", folder / "google.key", "-out", folder / "google.pem"),
        ],
        check=True,
        capture_output=True,
    )
    machines = [*map(machine, ROLES), machine("site") | {"missing": "confirmation_keys"}]
    done = subprocess.run(
        [*NAMESPACE, "python3", ROOT / "tests/components/machine.py", folder, ROOT / "terraform/modules/vm/startup.sh"],
        input=json.dumps(machines),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: list[dict[str, Any]] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("role", ROLES)
def test_a_vm_starts_its_profile_with_every_file_that_its_containers_read(
    boots: list[dict[str, Any]], role: str
) -> None:
    boot = boots[ROLES.index(role)]
    assert boot["codes"] == [0, 0], boot["errors"]
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    needed = {name for s in services.values() if role in s["profiles"] for name in secret_names(s)}
    assert needed - boot["secrets"].keys() == set()
    assert "value of " in "".join(boot["secrets"].values())
    assert not [name for name, text in boot["secrets"].items() if text.startswith("$")]
    compose = "docker compose --project-directory /opt/fraudstream/docker --env-file /run/fraudstream/compose.env"
    up = f"{compose} --profile {role} up --no-build --detach --remove-orphans --force-recreate"
    assert [call for call in boot["calls"] if call.startswith("docker compose --")] == [up]
    assert "SECRETS='/run/fraudstream/secrets'" in boot["compose"]
    assert "PUBLISH_ADDRESS='10.10.0.9'" in boot["compose"]
    assert not [call for call in boot["calls"] if call.startswith("logger")]


def test_images_are_pulled_before_the_containers_start_and_no_token_is_in_a_call(boots: list[dict[str, Any]]) -> None:
    for role, boot in zip(ROLES, boots, strict=False):
        images = {value for value in machine(role)["environment"].values() if "@sha256" in value}
        calls = [call for call in boot["calls"] if call.startswith("docker")]
        up = next(index for index, call in enumerate(calls) if " up " in call)
        pulled = {call.removeprefix("docker pull --quiet ") for call in calls[:up] if "pull" in call}
        assert pulled == images, role
        assert "t0ken" not in " ".join(boot["calls"])


def test_a_broker_has_a_signed_key_and_renews_it(boots: list[dict[str, Any]]) -> None:
    broker, site = boots[ROLES.index("kafka")], boots[ROLES.index("site")]
    assert broker["secrets"]["kafka_keystore.pem"].startswith("-----BEGIN PRIVATE KEY-----")
    assert broker["secrets"]["kafka_keystore.pem"].endswith("LEAF\nCA\n")
    assert "systemctl restart fraudstream-renew.timer" in broker["calls"]
    assert "systemctl restart fraudstream-heal.timer" in site["calls"]
    assert "systemctl restart fraudstream-renew.timer" not in site["calls"]


def test_a_boot_that_fails_says_so_twice_and_starts_nothing(boots: list[dict[str, Any]]) -> None:
    """The alert of terraform/alerts.tf matches these lines, and systemd runs the unit again."""
    failed = boots[-1]
    assert failed["codes"] == [0, 1]
    said = [call for call in failed["calls"] if call.startswith("logger")]
    assert len(said) == 2
    assert "fraudstream boot failed: https://secretmanager.googleapis.com/" in said[0]
    assert "answers 400" in said[0]
    assert "fraudstream startup failed: docker/vm/boot.py" in said[1]
    assert not [call for call in failed["calls"] if call.startswith("docker compose --")]


def test_every_role_that_boot_knows_is_booted_here_but_those_with_files_of_another(boots: list[dict[str, Any]]) -> None:
    folders = boot_module(ROOT).TEMPLATE_FOLDERS
    booted = [folders[role] for role in ROLES]
    assert [role for role in folders if folders[role] not in booted] == []
