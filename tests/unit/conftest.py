"""Unit tests know no stack: what a running one put into the environment doesn't reach them."""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def bare_environment() -> Iterator[None]:
    """No setting comes from the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("FRAUDSTREAM_", "AIRFLOW_", "STORAGE_EMULATOR_HOST")):
                patch.delenv(name)
        yield
