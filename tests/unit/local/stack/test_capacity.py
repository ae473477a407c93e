"""A machine that is too small is reported before any part starts."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from local.stack import capacity
from local.stack.capacity import NoRoom, require_room


def _machine(monkeypatch: pytest.MonkeyPatch, memory: int, disk: int) -> None:
    monkeypatch.setattr(capacity.psutil, "virtual_memory", lambda: SimpleNamespace(available=memory << 30))
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda folder: SimpleNamespace(free=disk << 30))


def test_a_machine_with_room_is_let_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, memory=5, disk=4)
    require_room(tmp_path / "not" / "made" / "yet")


def test_what_is_missing_is_named_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _machine(monkeypatch, memory=2, disk=1)
    with pytest.raises(NoRoom) as raised:
        require_room(tmp_path / "var")
    assert "2.0 GiB of memory are free, the stack needs 5 GiB" in str(raised.value)
    assert f"1.0 GiB of disk ({tmp_path}) are free, the stack needs 3 GiB" in str(raised.value)
