"""docker/vm/upkeep.py: unhealthy containers are restarted, and a broker's certificate is renewed before it expires."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.vm.test_boot import FakeGoogle

HOST = "kafka-1.internal"


class Broker(FakeGoogle):
    """The metadata of a broker's VM."""

    def metadata(self, path: str) -> str:
        assert path == "attributes/fraudstream-environment"
        return f"KAFKA_HOST={HOST}\nCA_POOL=pool"


@pytest.fixture
def upkeep(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(root / "docker/vm"))
    yield import_module("upkeep")
    for name in ("upkeep", "boot"):
        sys.modules.pop(name, None)


class Commands:
    """Stands for the machine: records each command, and answers or fails by the command's first words."""

    def __init__(self, boot: Any, **answers: str) -> None:
        self.boot = boot
        self.answers = answers
        self.called: list[str] = []
        self.failing = ""

    def __call__(self, *command: str, stdin: str = "") -> str:
        line = " ".join(command)
        self.called.append(line)
        if self.failing and self.failing in line:
            raise self.boot.BootError(f"{command[0]} failed")
        return next((answer for words, answer in self.answers.items() if words in line), "")


@pytest.fixture
def commands(upkeep: Any, monkeypatch: pytest.MonkeyPatch) -> Commands:
    machine = Commands(upkeep.boot, ps="scheduler\ntriggerer\n", genpkey="KEY\n")
    monkeypatch.setattr(upkeep.boot, "output", machine)
    monkeypatch.setattr(upkeep, "log", lambda line: machine.called.append(f"log {line}"))
    return machine


def test_each_unhealthy_container_is_restarted_with_a_line_for_the_alert(upkeep: Any, commands: Commands) -> None:
    upkeep.heal()
    assert commands.called == [
        "docker ps --filter health=unhealthy --format {{.Names}}",
        "log fraudstream container unhealthy: scheduler is restarted",
        "docker restart scheduler",
        "log fraudstream container unhealthy: triggerer is restarted",
        "docker restart triggerer",
    ]


def test_a_container_that_cant_be_restarted_doesnt_keep_the_others_from_it(upkeep: Any, commands: Commands) -> None:
    commands.failing = "restart scheduler"
    with pytest.raises(upkeep.boot.BootError, match="scheduler: docker failed"):
        upkeep.heal()
    assert commands.called[-1] == "docker restart triggerer"


@pytest.mark.parametrize("error", [OSError("no space left"), KeyError("KAFKA_HOST")])
def test_any_failure_is_logged_with_the_line_of_the_alert(
    upkeep: Any, commands: Commands, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(upkeep, "COMMANDS", {"renew": fail, "heal": lambda: None})
    assert (upkeep.main("renew"), upkeep.main("heal")) == (1, 0)
    assert commands.called == [f"log fraudstream upkeep failed: renew: {error!r}"]


def test_a_new_certificate_goes_into_the_same_file_before_the_broker_reads_it(
    upkeep: Any, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep.boot, "RUN", tmp_path)
    (tmp_path / "secrets").mkdir()
    file = tmp_path / "secrets/kafka_keystore.pem"
    file.write_text("old")
    inode = file.stat().st_ino
    google = Broker({})
    upkeep.renew(google)
    assert file.read_text() == "KEY\nCERTIFICATE\nCHAIN\n"
    assert file.stat().st_ino == inode, "a container sees the file that it was given"
    assert file.stat().st_mode & 0o777 == 0o444
    assert [pool for pool, _ in google.signed] == ["pool"]
    assert commands.called[-2].endswith("--entrypoint bash kafka-access /etc/fraudstream/renew.sh")


def test_a_broker_that_does_not_take_it_is_an_error(
    upkeep: Any, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep.boot, "RUN", tmp_path)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/kafka_keystore.pem").write_text("old")
    commands.failing = "renew.sh"
    with pytest.raises(upkeep.boot.BootError):
        upkeep.renew(Broker({}))
    assert not [line for line in commands.called if "certificate renewed" in line]


@pytest.mark.parametrize(("role", "tasks"), [("kafka", ["heal", "renew"]), ("site", ["heal"])])
def test_boot_makes_a_timer_of_each_task(
    upkeep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, tasks: list[str]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(upkeep.boot, "_run", lambda *command: started.append(" ".join(command)))
    upkeep.boot.start_timers(role, tmp_path)
    assert [line for line in started if "restart" in line] == [
        f"systemctl restart fraudstream-{task}.timer" for task in tasks
    ]
    for task in tasks:
        assert task in upkeep.COMMANDS
        service = (tmp_path / f"fraudstream-{task}.service").read_text()
        assert service.endswith(f"docker/vm/upkeep.py {task}\n")
        assert "TimeoutStartSec=15min" in service, "a hung Docker would block all later runs"
        assert "OnCalendar=" in (tmp_path / f"fraudstream-{task}.timer").read_text()


def test_an_alert_looks_for_each_line(root: Path) -> None:
    alerts = (root / "terraform/alerts.tf").read_text()
    assert "fraudstream container unhealthy" in alerts
    assert "fraudstream upkeep failed" in alerts
