"""What the checks of terraform/ and docker/ read."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.provider_schema import ProviderSchema, wheel_path
from tests.unit.deploy.terraform_files import Block, load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def schema() -> ProviderSchema:
    """The google provider's schema; read once, it takes some seconds."""
    return ProviderSchema.from_wheel(wheel_path())


@pytest.fixture(scope="session")
def compose(root: Path) -> dict[str, Any]:
    """compose.yaml as YAML reads it."""
    loaded: dict[str, Any] = yaml.safe_load((root / "docker/compose.yaml").read_text())
    return loaded


@pytest.fixture(scope="session")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its services, by name."""
    loaded: dict[str, dict[str, Any]] = compose["services"]
    return loaded


@pytest.fixture(scope="session")
def blocks(root: Path) -> list[Block]:
    """The root module's blocks."""
    return load(root / "terraform")
