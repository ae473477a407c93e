"""Downloads are only used if they are the locked files."""

import hashlib
import re
from pathlib import Path

import pytest

from local.programs import artifacts

FILE = "org.example:tool:1.0"
IN_CACHE = Path("maven/org/example/tool/1.0/tool-1.0.jar")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cached file, and a lock that contains only this file."""
    path = tmp_path / IN_CACHE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"the tool")
    lock = tmp_path / "artifacts.lock"
    lock.write_text(f"# comment\n{FILE} {hashlib.sha256(b'the tool').hexdigest()}\n")
    monkeypatch.setattr(artifacts, "cache", lambda: tmp_path)
    monkeypatch.setattr(artifacts, "LOCK", lock)
    return path


def test_the_lock_names_every_root_with_a_sha256() -> None:
    locked = artifacts.locked()

    assert {artifacts.KAFKA, artifacts.KAFKA_LOGGING, artifacts.REGISTRY} <= locked.keys()
    assert [sum for sum in locked.values() if not re.fullmatch("[0-9a-f]{64}", sum)] == []


def test_the_locked_file_is_used(cached: Path) -> None:
    assert artifacts.fetch_all(lambda _: None) == {FILE: cached}


def test_another_file_is_refused_and_removed_so_that_it_is_fetched_again(cached: Path) -> None:
    cached.write_bytes(b"something else")

    with pytest.raises(artifacts.ArtifactError, match=rf"{FILE} has SHA-256 [0-9a-f]+, expected"):
        artifacts.fetch_all(lambda _: None)

    assert not cached.exists()
