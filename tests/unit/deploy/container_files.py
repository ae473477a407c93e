"""What several tests read of docker/ and terraform/."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

from .terraform_files import Block


def boot_module(root: Path) -> Any:
    """docker/vm/boot.py, which is no part of a package."""
    spec = spec_from_file_location("boot", root / "docker/vm/boot.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def secret_names(service: dict[str, Any]) -> set[str]:
    return {secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", [])}


def kafka_users(blocks: list[Block]) -> set[str]:
    users = next(
        block.body["kafka_users"] for block in blocks if block.kind == "locals" and "kafka_users" in block.body
    )
    return {user.strip('"') for user in users}


class Right(NamedTuple):
    """A line of docker/kafka/acls: who may do what to which resource of Kafka."""

    user: str
    operations: tuple[str, ...]
    resource: str
    name: str
    pattern: str


def rights(root: Path) -> list[Right]:
    """The lines of docker/kafka/acls, which docker/kafka/access.sh makes ACLs of."""
    lines = [line.split() for line in (root / "docker/kafka/acls").read_text().splitlines()]
    return [
        Right(user, tuple(operations.split(",")), resource, name, pattern)
        for user, operations, resource, name, pattern in (line for line in lines if line and line[0] != "#")
    ]
