"""terraform/modules/vm/startup.sh with stand-ins for the machine's tools: it is retried until the VM has its role."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

#: Records its call; systemctl, apt-get, docker, install and logger do nothing else.
_NOTE = f"""#!{sys.executable} -IS
import pathlib, sys
tool = pathlib.Path(sys.argv[0])
with (tool.parent / "calls").open("a") as calls:
    calls.write(" ".join([tool.name, *sys.argv[1:]]) + "\\n")
"""
_CURL = f"""#!{sys.executable} -IS
import pathlib, shutil, sys
folder = pathlib.Path(sys.argv[0]).parent
if (folder / "broken").exists():
    sys.exit(22)  # what --fail makes of 403
url = next(word for word in sys.argv if "://" in word)
if "--output" in sys.argv:
    shutil.copy(folder / "release.zip", sys.argv[sys.argv.index("--output") + 1])
elif url.endswith("fraudstream-release"):
    print("bucket/release-1.zip")
elif url.endswith("token"):
    print('{{"access_token": "s3cret"}}')
with (folder / "calls").open("a") as calls:
    calls.write(" ".join(["curl", *sys.argv[1:]]) + "\\n")
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with the tools and the release bundle."""
    for tool in ("systemctl", "apt-get", "docker", "dpkg", "logger"):
        (tmp_path / tool).write_text(_NOTE)
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "curl").write_text(_CURL)
    (tmp_path / "curl").chmod(0o755)
    with zipfile.ZipFile(tmp_path / "release.zip", "w") as release:
        release.writestr("vm/boot.py", f"open({str(tmp_path / 'booted')!r}, 'w').close()")
    (tmp_path / "script").mkdir()
    return tmp_path


def run(root: Path, machine: Path, *arguments: str) -> tuple[int, list[str]]:
    """Runs the script; returns its exit code, and all calls of tools so far."""
    text = (root / "terraform/modules/vm/startup.sh").read_text().replace("/tmp/", f"{machine}/tmp-")  # noqa: S108
    for path, here in (("/etc/systemd/system", machine), ("/usr/local/sbin", machine / "script"), ("/opt", machine)):
        assert path in text
        text = text.replace(path, str(here))
    script = machine / "startup.sh"
    script.write_text(text)
    environment = {"PATH": f"{machine}{os.pathsep}/usr/bin:/bin"}
    done = subprocess.run(["bash", script, *arguments], env=environment, capture_output=True, timeout=60, check=False)
    calls = machine / "calls"
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


def test_the_first_run_makes_a_unit_that_runs_it_until_it_succeeds(root: Path, machine: Path) -> None:
    code, calls = run(root, machine)
    assert code == 0
    unit = (machine / "fraudstream-boot.service").read_text()
    assert f"ExecStart={machine}/script/fraudstream-boot boot\n" in unit
    assert "Restart=on-failure\nRestartSec=30\n" in unit
    assert "StartLimitIntervalSec=0" in unit  # otherwise systemd gives up after five tries
    assert calls[-2:] == ["systemctl daemon-reload", "systemctl restart --no-block fraudstream-boot.service"]
    assert (machine / "script/fraudstream-boot").stat().st_mode & 0o777 == 0o755
    assert not (machine / "booted").exists()


def test_the_unit_fetches_the_release_and_boots_it(root: Path, machine: Path) -> None:
    code, calls = run(root, machine, "boot")
    assert code == 0
    assert (machine / "booted").exists()
    assert not [call for call in calls if "s3cret" in call], "a process list shows the token"
    assert all("--retry-all-errors" in call for call in calls if call.startswith("curl"))


def test_an_installation_that_was_interrupted_is_completed(root: Path, machine: Path) -> None:
    """Docker is there, its plugin for compose isn't."""
    code, calls = run(root, machine, "boot")
    assert not [call for call in calls if call.startswith("apt-get")]
    (machine / "docker").write_text(_NOTE + "sys.exit(1)\n")
    (machine / "calls").unlink()
    code, calls = run(root, machine, "boot")
    assert code == 0
    assert [call.split()[0] for call in calls[1:4]] == ["dpkg", "apt-get", "apt-get"]
    assert "docker.io docker-compose-v2 openssl" in calls[3]


def test_a_failure_is_logged_with_its_step_and_the_next_run_succeeds(root: Path, machine: Path) -> None:
    (machine / "broken").touch()
    code, calls = run(root, machine, "boot")
    assert code != 0
    assert [call for call in calls if call.startswith("logger")][-1].startswith(
        "logger --tag fraudstream fraudstream startup failed: downloading the release"
    )
    (machine / "broken").unlink()
    code, _ = run(root, machine, "boot")
    assert code == 0
    assert (machine / "booted").exists()


def test_the_alert_looks_for_the_line(root: Path) -> None:
    assert "fraudstream (boot|startup) failed" in (root / "terraform/alerts.tf").read_text()
