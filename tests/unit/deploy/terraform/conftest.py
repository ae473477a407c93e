"""Fixtures for the checks of terraform/."""

from pathlib import Path

import pytest

from tests.unit.deploy.terraform_files import Block, load


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, list[Block]]:
    """The blocks of the root module ("") and of each module under it, by folder."""
    folder = root / "terraform"
    return {"": load(folder)} | {
        f"modules/{path.name}": load(path) for path in sorted((folder / "modules").iterdir()) if path.is_dir()
    }
