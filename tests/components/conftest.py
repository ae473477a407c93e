"""A supervisor, and parts for it to run."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.stack.ports import HOST
from local.supervisor.control import Control
from local.supervisor.part import Answers, Part
from tests.components.small_parts import PLAIN_ENVIRONMENT, STUBBORN_CHILD, at_work, free_port, until


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    """A stack with its own state; processes that a test leaves are ended."""
    control = Control(tmp_path / "stack", tmp_path / "log")
    yield control
    control.down()
    until(lambda: not at_work(control), 60)


@pytest.fixture
def web(tmp_path: Path) -> Callable[..., Part]:
    """Makes a part that serves HTTP on a free port."""

    def make(name: str, **fields: object) -> Part:
        port = free_port()
        values: dict[str, object] = {
            "name": name,
            "command": [sys.executable, "-u", "-c", STUBBORN_CHILD, str(port)],
            "env": PLAIN_ENVIRONMENT,
            "cwd": tmp_path,
            "ready": Answers(url=f"http://{HOST}:{port}/"),
            "ports": [port],
            "stop_within": 1,
        }
        return Part.model_validate(values | fields)

    return make
