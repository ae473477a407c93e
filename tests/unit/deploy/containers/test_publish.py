"""docker/publish.sh builds the committed files, each image once, and prints digests in Terraform's format."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REGISTRY = "us-central1-docker.pkg.dev/my-project/fraudstream"
#: Stands for docker: records its call, and writes the digest to the file of --metadata-file.
_DOCKER = f"""#!{sys.executable} -IS
import json, pathlib, sys
words = sys.argv[1:]
target = words[words.index("--target") + 1]
digest = "sha256:" + {{"airflow": "a", "site": "b"}}[target] * 64
pathlib.Path(words[words.index("--metadata-file") + 1]).write_text(json.dumps({{"containerimage.digest": digest}}))
with (pathlib.Path(sys.argv[0]).parent / "calls").open("a") as calls:
    calls.write(" ".join(words) + "\\n")
"""


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A commit that contains the script, and a stand-in for docker."""
    folder = tmp_path / "checkout"
    (folder / "docker").mkdir(parents=True)
    shutil.copy(root / "docker/publish.sh", folder / "docker")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/docker").write_text(_DOCKER)
    (tmp_path / "bin/docker").chmod(0o755)
    git = ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message", "a")):
        subprocess.run([*git, *command], check=True)
    return folder


def publish(checkout: Path) -> subprocess.CompletedProcess[str]:
    path = f"{checkout.parent / 'bin'}{os.pathsep}/usr/bin:/bin"
    command = ["bash", str(checkout / "docker/publish.sh"), REGISTRY]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False)


def test_it_prints_both_images_by_digest(checkout: Path) -> None:
    (checkout / ".terraform.lock.hcl").touch()  # not part of an image: terraform init may have written it
    done = publish(checkout)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        "images = {",
        f'  airflow = "{REGISTRY}/airflow@sha256:{"a" * 64}"',
        f'  site = "{REGISTRY}/site@sha256:{"b" * 64}"',
        "}",
    ]
    calls = (checkout.parent / "bin/calls").read_text().splitlines()
    assert len(calls) == 2
    assert all(" --push " in call for call in calls)


def test_what_no_commit_names_is_not_published(checkout: Path) -> None:
    (checkout / "plugins").mkdir()
    (checkout / "plugins/new.py").touch()
    done = publish(checkout)
    assert done.returncode == 1
    assert "commit them first" in done.stderr
    assert "plugins/" in done.stderr
    assert not (checkout.parent / "bin/calls").exists()
