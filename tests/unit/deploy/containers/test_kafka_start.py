"""docker/kafka/start.sh builds a broker's configuration from three parts, whose lines stay separate."""

import subprocess
from pathlib import Path

from tests.unit.deploy.container_files import boot_module


def test_a_listeners_file_without_a_final_line_break_does_not_swallow_the_node_s_id(root: Path, tmp_path: Path) -> None:
    """docker/vm/boot.py writes files without a final line break: brokers on VMs started without node.id and failed."""
    template = (root / "docker/vm/templates/kafka/kafka.properties").read_text()
    values = {"kafka_broker_password": "secret"}
    listeners = boot_module(root).fill(template, values, "kafka.properties").rstrip("\n")
    (tmp_path / "kafka.properties").write_text(listeners)
    (tmp_path / "server.properties").write_text((root / "docker/kafka/server.properties").read_text())
    for tool in ("kafka-storage.sh", "kafka-server-start.sh"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    script = (root / "docker/kafka/start.sh").read_text()
    config = tmp_path / "made.properties"
    script = script.replace("/tmp/server.properties", str(config))  # noqa: S108
    for place in ("/etc/fraudstream", "/opt/kafka/bin", "/var/lib/kafka/data"):
        script = script.replace(place, str(tmp_path))
    environment = {
        "PATH": "/usr/bin:/bin",
        "KAFKA_CLUSTER_ID": "a",
        "KAFKA_NODE_ID": "7",
        "KAFKA_HOST": "kafka-7",
        "KAFKA_QUORUM_VOTERS": "7@kafka-7:9093",
        "KAFKA_LISTENERS_FILE": str(tmp_path / "kafka.properties"),
    }
    subprocess.run(["bash", "-c", script], env=environment, check=True)
    lines = config.read_text().splitlines()
    assert "super.users=User:broker" in lines
    assert "node.id=7" in lines
    assert "advertised.listeners=CLIENT://kafka-7:9092,INTERNAL://kafka-7:9094" in lines
