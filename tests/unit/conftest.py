"""Unit tests don't use a stack: variables that a running stack needs must not affect them."""

import os
from collections.abc import Iterator

import pytest

EXAMPLE_KEY = "example-key-of-the-unit-tests"


@pytest.fixture(scope="module", autouse=True)
def bare_environment() -> Iterator[None]:
    """Removes all settings from the environment, and sets a signing key, which has no default."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("FRAUDSTREAM_", "AIRFLOW_", "PYICEBERG_", "STORAGE_EMULATOR_HOST")):
                patch.delenv(name)
        patch.setenv("FRAUDSTREAM_CONFIRMATION_KEYS", EXAMPLE_KEY)
        yield
