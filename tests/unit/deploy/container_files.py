"""Readers of docker/ and terraform/ that several tests share."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from tests.unit.deploy.terraform_files import Block, load, members

TERRAFORM = Path(__file__).resolve().parents[3] / "terraform"
#: Profile of the compose file → the Terraform files whose VM runs it.
VMS = {
    "kafka": ["kafka.tf"],
    "registry": ["registry.tf"],
    "schema-registry": ["registry.tf"],
    "airflow": ["airflow.tf"],
    "worker": ["producer.tf", "consumer_non_fraud.tf"],
    "signing-worker": ["consumer_fraud.tf"],
    "site": ["site.tf"],
    "bounces": ["bounces.tf"],
}

#: The project's own images, by their names in the compose file.
OURS = {"airflow": "${AIRFLOW_IMAGE:-fraudstream-airflow}", "site": "${SITE_IMAGE:-fraudstream-site}"}

_STRING = re.compile(r'"[^"]*"(?P<key>\s*=)?')
_KEY = re.compile(r"(?<![\w.\"])\"?([\w.]+)\"?\s*=(?![=>])")


def boot_module(root: Path) -> Any:
    """docker/vm/boot.py as a module; it isn't part of a package."""
    spec = spec_from_file_location("boot", root / "docker/vm/boot.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_profile(services: dict[str, dict[str, Any]], profile: str) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services.items() if profile in service["profiles"]}


def secret_names(service: dict[str, Any]) -> set[str]:
    return {secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", [])}


def kafka_users(blocks: list[Block]) -> set[str]:
    users = next(
        block.body["kafka_users"] for block in blocks if block.kind == "locals" and "kafka_users" in block.body
    )
    return {user.strip('"') for user in users}


class Right(NamedTuple):
    """A line of docker/kafka/acls: the rights of a user on a resource of Kafka."""

    user: str
    operations: tuple[str, ...]
    resource: str
    name: str
    pattern: str


def rights(root: Path) -> list[Right]:
    """The lines of docker/kafka/acls, from which docker/kafka/access.sh creates ACLs."""
    lines = [line.split() for line in (root / "docker/kafka/acls").read_text().splitlines()]
    return [
        Right(user, tuple(operations.split(",")), resource, name, pattern)
        for user, operations, resource, name, pattern in (line for line in lines if line and line[0] != "#")
    ]


def given(blocks: list[Block], file: str, argument: str) -> set[str]:
    """The names in a map argument of a VM's module call: keys of the map, and of locals that it merges in."""
    locals_ = {name: value for block in blocks if block.kind == "locals" for name, value in members(block.body)}
    pending: list[Any] = []
    for block in blocks:
        if block.kind == "module" and block.file == file:
            if argument in block.body:
                pending.append(block.body[argument])
            else:  # a worker: its module extends the map that all workers share
                (vm,) = (inner for inner in load(TERRAFORM / "modules/worker") if inner.kind == "module")
                pending += [vm.body[argument], locals_["worker"][argument]]
    assert pending, file
    found: set[str] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, dict):  # a plain map without functions around it
            found |= {name for name, _ in members(value)}
        else:
            found |= set(_KEY.findall(_STRING.sub(lambda quoted: quoted[0] if quoted["key"] else '""', value)))
            pending += [
                locals_[name]
                for name in re.findall(
                    r"\blocal\.(client_environment|catalog_environment|login_secret|site_environment|task_\w+)", value
                )
            ]
    return found
