"""What the checks of terraform/ and docker/ read."""

from pathlib import Path

import pytest

from .provider_schema import ProviderSchema, wheel_path

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def schema() -> ProviderSchema:
    """The google provider's schema; read once, it takes some seconds."""
    return ProviderSchema.from_wheel(wheel_path())
