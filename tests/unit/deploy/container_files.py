"""What several tests read of docker/ and terraform/."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

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
