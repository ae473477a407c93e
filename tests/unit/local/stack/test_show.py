"""What `make status` shows."""

import io

import pytest
from rich.console import Console

from local.stack.show import report_problems, table
from local.supervisor.part import State, Status

READY = Status(name="triggerer", state=State.READY, pid=1, started=1.0, seconds=2.0)
DIED = Status(name="kafka-1", state=State.DIED, problem="kafka-1 was ended by SIGKILL, 9 s after its start")
WAITING = Status(name="topics", state=State.WAITING)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_part_that_runs_and_does_nothing_is_silent_and_what_it_lacks_is_said(console: Console) -> None:
    faults = {"triggerer": "http://127.0.0.1:1/ shows no fresh heartbeat of a triggerer"}
    console.print(table([READY, WAITING], {}, faults))
    assert report_problems([READY, WAITING], faults, console) == 1
    rows = said(console).splitlines()
    assert rows[1].split()[:2] == ["triggerer", "silent"]
    assert rows[2].split()[:2] == ["topics", "waiting"]
    assert rows[-1] == (
        "triggerer runs, but http://127.0.0.1:1/ shows no fresh heartbeat of a triggerer; "
        "its log: make logs PART=triggerer"
    )


def test_a_part_that_died_is_said_with_its_reason(console: Console) -> None:
    assert report_problems([READY, DIED], {}, console) == 1
    assert DIED.problem in said(console)


def test_nothing_is_said_while_all_is_well(console: Console) -> None:
    console.print(table([READY], {}, {}))
    assert report_problems([READY], {}, console) == 0
    assert said(console).splitlines()[1].split()[:2] == ["triggerer", "ready"]
