"""Errors of the supervisor or of a readiness check are reported; no command waits for ever, no part looks healthy."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from local.stack.ports import HOST
from local.supervisor import control as control_module
from local.supervisor import supervisor as supervisor_module
from local.supervisor.control import Control, StackError
from local.supervisor.part import AirflowHeartbeat, Logged, Part
from local.supervisor.sessions import Session
from local.supervisor.supervisor import Supervisor
from tests.components.small_parts import PLAIN_ENVIRONMENT, unseen

pytestmark = pytest.mark.integration


def test_a_readiness_check_that_raises_is_the_part_s_failure(control: Control, web: Callable[..., Part]) -> None:
    """The check got HTML instead of JSON; `up` waited for this part for ever."""
    part = web("odd")
    url = f"http://{HOST}:{part.ports[0]}/"
    odd = part.model_copy(update={"ready": AirflowHeartbeat(url=url, component="triggerer")})
    with pytest.raises(StackError, match=r"odd can't be looked after: JSONDecodeError"):
        control.up([odd], unseen)
    assert control.status() == []


def test_a_check_that_raises_later_is_a_fault_and_hides_no_other(
    control: Control,
    web: Callable[..., Part],
    tmp_path: Path,
) -> None:
    says = tmp_path / "says.txt"
    says.write_text("ready")
    parts = [web("logged", ready=Logged(file=says, text="ready")), web("hangs")]
    control.up(parts, unseen)
    says.unlink()
    hung = next(status for status in control.status() if status.name == "hangs")
    psutil.Process(hung.pid).suspend()

    faults = control.faults()
    psutil.Process(hung.pid).resume()

    assert faults.keys() == {"logged", "hangs"}
    assert "its readiness check raised FileNotFoundError" in faults["logged"]


def test_up_tells_that_the_supervisor_ended_while_it_waited(control: Control, web: Callable[..., Part]) -> None:
    sleeps = web("sleeps", command=[sys.executable, "-c", "import time; time.sleep(600)"])

    def kill(_: object) -> None:
        for status in control.status():
            if status.pid and (supervisor := psutil.Process(status.pid).parent()):
                supervisor.kill()

    with pytest.raises(StackError, match=r"the supervisor ended while it started the parts; see .*supervisor\.log"):
        control.up([sleeps], kill)


def test_down_ends_what_takes_longer_than_down_may(
    control: Control,
    web: Callable[..., Part],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    control.up([web("stubborn", stop_all=True, stop_within=600)], unseen)
    monkeypatch.setattr(control_module, "DOWN_WITHIN", 1)
    with caplog.at_level(logging.WARNING):
        assert control.down() == 1
    assert "not everything stopped within 1 s" in caplog.text
    assert control.status() == []


def test_a_process_that_ends_while_it_is_signalled_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """When this was an error, a part that had died stayed READY."""
    with psutil.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    monkeypatch.setattr(Session, "processes", lambda self: [gone])
    session = Session(gone.pid, time.time())
    session.signal_first(15)
    session.signal(15)


def test_a_log_that_has_grown_is_moved_away_and_its_writer_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "LOG_BYTES", 10_000)
    monkeypatch.setattr(supervisor_module, "LOG_SECONDS", 0.05)
    script = "import time\nfor n in range(3_000):\n print(f'line {n}', flush=True)\n time.sleep(0.0003)\ntime.sleep(60)"
    part = Part(
        name="talks",
        command=[sys.executable, "-c", script],
        env=PLAIN_ENVIRONMENT,
        cwd=tmp_path,
        ready=Logged(file=tmp_path / "talks.log", text="line 1"),
        stop_within=1,
    )
    (tmp_path / "parts.json").write_text(f"[{part.model_dump_json()}]")

    async def run() -> None:
        supervisor = Supervisor(tmp_path, tmp_path)
        rotating = asyncio.create_task(supervisor.rotate_logs())
        await supervisor.up()
        log = supervisor.log("talks")
        for _ in range(200):
            await asyncio.sleep(0.1)
            if log.exists() and "line 2999" in log.read_text():
                break
        rotating.cancel()
        await supervisor.down()

    asyncio.run(run())
    kept = (tmp_path / "talks.log").read_text()
    assert kept.splitlines()[-1] == "line 2999"
    assert "\0" not in kept, "its writer went on at the old place"
    assert len(kept) < 20_000
    assert (tmp_path / "talks.log.1").read_text().startswith("line")
