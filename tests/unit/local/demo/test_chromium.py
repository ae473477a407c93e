import subprocess

import pytest

from local.programs import chromium
from local.programs.chromium import BY_HAND, NoChromium, find_chromium


def test_the_one_that_is_chosen_goes_before_the_one_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert find_chromium() == "/usr/bin/chromium"
    monkeypatch.setenv("CHROMIUM", "/opt/chrome")
    assert find_chromium() == "/opt/chrome"


def test_without_one_and_without_rights_to_install_one_the_line_to_type_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 1000)
    with pytest.raises(NoChromium) as error:
        find_chromium()
    assert BY_HAND in str(error.value)


def test_an_installation_that_fails_is_named_with_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(100, command)

    monkeypatch.setattr(chromium.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    monkeypatch.setattr(chromium.subprocess, "run", fail)
    with pytest.raises(NoChromium, match="installing Debian's package failed") as error:
        find_chromium(install=True)
    assert BY_HAND in str(error.value)


def test_nothing_is_installed_on_the_machine_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo run by root installed a browser for the whole machine."""
    ran: list[object] = []
    monkeypatch.setattr(chromium.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: 0)
    monkeypatch.setattr(chromium.subprocess, "run", lambda command, **_: ran.append(command))
    with pytest.raises(NoChromium):
        find_chromium()
    assert ran == []
