"""Fixtures for the checks of terraform/ and docker/."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.provider_schema import ProviderSchema, wheel_path
from tests.unit.deploy.terraform_files import Block, load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def schema() -> ProviderSchema:
    """The google provider's schema. Reading it takes some seconds, so it is read once."""
    return ProviderSchema.from_wheel(wheel_path())


@pytest.fixture(scope="session")
def compose(root: Path) -> dict[str, Any]:
    """The content of compose.yaml."""
    loaded: dict[str, Any] = yaml.safe_load((root / "docker/compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services of compose.yaml by name."""
    loaded: dict[str, dict[str, Any]] = compose["services"]
    return loaded


@pytest.fixture(scope="session")
def blocks(root: Path) -> list[Block]:
    """The blocks of the root module."""
    return load(root / "terraform")
