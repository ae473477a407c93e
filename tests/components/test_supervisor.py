"""The supervisor with small parts: starts them in order, reports their end, and leaves no processes."""

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.stack.ports import HOST
from local.supervisor.control import Control, StackError
from local.supervisor.part import Exits, Part, State
from local.supervisor.sessions import Record
from local.supervisor.supervisor import PARTS, SESSIONS
from tests.components.small_parts import PLAIN_ENVIRONMENT, unseen, until

pytestmark = pytest.mark.integration


def test_a_part_starts_when_what_it_depends_on_is_ready(control: Control, web: Callable[..., Part]) -> None:
    control.up([web("second", depends_on=["first"]), web("first")], unseen)

    status = {part.name: part for part in control.status()}

    assert {part.state for part in status.values()} == {State.READY}
    assert status["second"].started >= status["first"].started + status["first"].seconds


def test_up_says_that_everything_runs_already(control: Control, web: Callable[..., Part]) -> None:
    parts = [web("only")]

    assert control.up(parts, unseen)
    assert not control.up(parts, unseen)


def test_what_runs_once_and_for_all_is_not_run_again(control: Control, tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"
    part = Part(
        name="once",
        command=[sys.executable, "-c", script],
        env=PLAIN_ENVIRONMENT,
        cwd=tmp_path,
        ready=Exits(marker=tmp_path / "marker"),
    )
    for _ in range(2):
        control.up([part], unseen)
        control.down()

    assert (tmp_path / "ran").read_text() == "x"


def test_a_dead_part_is_told_with_its_signal_and_the_end_of_its_log(control: Control, web: Callable[..., Part]) -> None:
    control.up([web("other"), web("victim")], unseen)
    processes = _processes(control, "victim")

    control.command("kill", "victim")
    until(lambda: _state(control, "victim") is State.DIED)

    (problem,) = [part.problem for part in control.status() if part.problem]
    assert problem.startswith("victim was ended by SIGKILL")
    assert '"GET / HTTP/1.1" 200' in problem
    assert problem in (control.logs / "supervisor.log").read_text()
    assert [p for p in processes if _runs(p)] == []
    assert _state(control, "other") is State.READY


def test_a_part_that_hangs_is_told_with_what_it_no_longer_does(control: Control, web: Callable[..., Part]) -> None:
    control.up([web("other"), web("hangs")], unseen)
    assert control.faults() == {}
    hung = next(part for part in control.status() if part.name == "hangs")
    assert hung.pid is not None

    os.kill(hung.pid, signal.SIGSTOP)
    faults = control.faults()
    os.kill(hung.pid, signal.SIGCONT)

    assert faults.keys() == {"hangs"}
    assert re.fullmatch(rf"http://{HOST}:\d+/ doesn't answer with 200", faults["hangs"])
    assert control.faults() == {}
    assert _state(control, "hangs") is State.READY


def test_up_starts_again_what_died(control: Control, web: Callable[..., Part]) -> None:
    parts = [web("other"), web("victim")]
    control.up(parts, unseen)
    untouched = _processes(control, "other")
    control.command("kill", "victim")
    until(lambda: _state(control, "victim") is State.DIED)

    control.up(parts, unseen)

    assert _state(control, "victim") is State.READY
    assert _processes(control, "other") == untouched


def test_up_forgets_a_stopped_part_that_is_no_longer_wanted(control: Control, web: Callable[..., Part]) -> None:
    wanted, other = web("wanted"), web("other")
    control.up([wanted, other], unseen)
    control.command("stop", "other")
    control.command("stop", "wanted")

    control.up([wanted], unseen)

    assert {part.name: part.state for part in control.status()} == {"wanted": State.READY}


def test_one_part_is_stopped_and_started(control: Control, web: Callable[..., Part]) -> None:
    control.up([web("only")], unseen)
    before = _processes(control, "only")

    control.command("stop", "only")
    assert _state(control, "only") is State.STOPPED
    assert [p for p in before if _runs(p)] == []

    control.command("start", "only")
    until(lambda: _state(control, "only") is State.READY)


def test_a_part_that_fails_is_told_with_its_log_and_what_was_started_is_ended(
    control: Control, web: Callable[..., Part]
) -> None:
    fails = web("fails", command=[sys.executable, "-c", "raise SystemExit('no such thing as a free lunch')"])

    with pytest.raises(StackError, match=r"fails exited with 1 before it was ready(.|\n)*free lunch"):
        control.up([web("first"), fails, web("later", depends_on=["fails"])], unseen)

    assert control.status() == []
    assert not (control.state / SESSIONS).exists()


def test_a_program_that_is_not_there_is_told(control: Control, web: Callable[..., Part]) -> None:
    with pytest.raises(StackError, match=r"missing can't be started: .*no-such-program"):
        control.up([web("missing", command=["/no-such-program"])], unseen)


def test_a_part_that_is_never_ready_is_told_with_the_time_it_had(control: Control, web: Callable[..., Part]) -> None:
    sleeps = web("sleeps", command=[sys.executable, "-c", "import time; time.sleep(600)"], ready_within=1)

    with pytest.raises(StackError, match="sleeps not ready within 1 s"):
        control.up([sleeps], unseen)


def test_a_taken_port_is_named_with_its_holder_before_anything_starts(
    control: Control, web: Callable[..., Part]
) -> None:
    part = web("web")
    with socket.socket() as holder:
        holder.bind((HOST, part.ports[0]))
        holder.listen()
        ours = psutil.Process()

        said = re.escape(f"port {part.ports[0]} is taken by {ours.name()} (pid {ours.pid})")
        with pytest.raises(StackError, match=said):
            control.up([web("first"), part], unseen)

    assert not (control.state / PARTS).exists()


def test_down_leaves_no_process_behind(control: Control, web: Callable[..., Part]) -> None:
    control.up([web("first"), web("second", depends_on=["first"])], unseen)
    processes = [*_processes(control, "first"), *_processes(control, "second")]
    supervisors = _supervisors(control)

    assert control.down() == 2

    assert [p for p in processes if _runs(p)] == []
    until(lambda: not any(_runs(p) for p in supervisors), seconds=1)  # they have answered already and are about to exit


def test_a_killed_supervisor_takes_every_process_with_it(control: Control, web: Callable[..., Part]) -> None:
    control.up([web("first")], unseen)
    processes = _processes(control, "first")
    guardian, supervisor = _supervisors(control)

    supervisor.kill()

    until(lambda: not any(_runs(p) for p in [*processes, guardian]), seconds=20)


@pytest.mark.parametrize("command", ["down", "up"])
def test_when_the_guardian_is_killed_too_the_next_command_ends_what_is_left(
    control: Control, web: Callable[..., Part], command: str
) -> None:
    parts = [web("first")]
    control.up(parts, unseen)
    processes = _processes(control, "first")
    for process in _supervisors(control):
        process.kill()
    until(lambda: control.left_over() == len(processes))

    control.down() if command == "down" else control.up(parts, unseen)

    assert [p for p in processes if _runs(p)] == []
    assert (command == "up") == bool(control.status())


def test_an_interrupted_up_ends_what_it_started(
    control: Control, web: Callable[..., Part], heeds_interrupts: None
) -> None:
    sleeps = web("sleeps", command=[sys.executable, "-c", "import time; time.sleep(600)"])
    seen: list[psutil.Process] = []

    def interrupt(_: object) -> None:
        if pids := [part.pid for part in control.status() if part.pid]:
            seen.extend(psutil.Process(pid) for pid in pids)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        control.up([sleeps], interrupt)

    assert seen
    assert [p for p in seen if _runs(p)] == []


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """Makes sure that SIGINT has its effect: a shell ignores it for processes that it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _state(control: Control, name: str) -> State:
    (state,) = [part.state for part in control.status() if part.name == name]
    return state


def _processes(control: Control, name: str) -> list[psutil.Process]:
    """The part's processes: the server and the child that ignores SIGTERM."""
    processes = Record(control.state / SESSIONS).read()[name].processes()
    assert len(processes) == 2
    return processes


def _supervisors(control: Control) -> list[psutil.Process]:
    """The processes of guardian and supervisor."""
    (part, *_) = [part for part in control.status() if part.pid]
    supervisor = psutil.Process(part.pid).parent()
    assert supervisor is not None
    guardian = supervisor.parent()
    assert guardian is not None
    return [guardian, supervisor]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
