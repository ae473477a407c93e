"""Prometheus in the stack: only if it and the StatsD exporter are installed; then Airflow sends metrics."""

import json
import subprocess
from pathlib import Path

import pytest

from local.programs.debian import MissingProgram
from local.programs.promtool import find_promtool
from local.stack import environment, monitoring
from local.stack.ports import Ports


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs."""
    monkeypatch.setattr(environment, "STACK", tmp_path / "stack")
    monkeypatch.setattr("local.programs.installed.STACK", tmp_path / "stack")
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    return programs


def install(path: Path, *names: str) -> None:
    for name in names:
        (path / name).write_text("#!/bin/sh\n")
        (path / name).chmod(0o755)


@pytest.mark.parametrize("installed", [(), ("prometheus",), ("statsd_exporter",)])
def test_where_one_program_is_missing_nothing_is_started_and_airflow_sends_nothing(
    path: Path, installed: tuple[str, ...]
) -> None:
    install(path, *installed)
    assert monitoring.monitoring(Ports.from_environment({})) == []
    assert not [name for name in environment.stack_environment({}) if "STATSD" in name]


def test_airflow_sends_where_the_exporter_listens_and_prometheus_scrapes_exporter_and_site(path: Path) -> None:
    install(path, "prometheus", "statsd_exporter")
    moved = {"FRAUDSTREAM_STACK": "3"}
    ports = Ports.from_environment(moved)
    exporter, prometheus = monitoring.monitoring(ports)
    made = environment.stack_environment(moved)
    sent = f"{made['AIRFLOW__METRICS__STATSD_HOST']}:{made['AIRFLOW__METRICS__STATSD_PORT']}"
    assert f"--statsd.listen-udp={sent}" in exporter.command
    assert made["AIRFLOW__METRICS__STATSD_ON"] == made["AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED"] == "True"
    config = json.loads((prometheus.cwd / "prometheus.yml").read_text())
    scraped = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert scraped["airflow"] == [ports.address("statsd_exporter")]
    assert scraped["site"] == [ports.address("confirmation_health")]
    listens = [word.partition("=")[2] for part in (exporter, prometheus) for word in part.command if "listen" in word]
    assert all(not address or address.startswith("127.0.0.1:") for address in listens)


def test_prometheus_accepts_the_configuration(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(path, "prometheus", "statsd_exporter")
    _, prometheus = monitoring.monitoring(Ports.from_environment({}))
    monkeypatch.undo()
    try:
        promtool = find_promtool()
    except MissingProgram as error:
        pytest.fail(f"this test needs promtool: {error}")
    config = prometheus.cwd / "prometheus.yml"
    done = subprocess.run([*promtool, "check", "config", str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "22 rules found" in done.stdout
