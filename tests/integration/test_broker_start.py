"""docker/kafka/start.sh with Kafka's own storage tool: it formats a broker's disk with any cluster id."""

import subprocess
from pathlib import Path

import pytest
from fraudstream.settings import ROOT

from local.programs import artifacts
from tests.integration.kafka_access.secured_brokers import write_tool

pytestmark = pytest.mark.integration


def _start(folder: Path, cluster_id: str, text: str) -> subprocess.CompletedProcess[str]:
    """Runs the script with the container's paths below `folder`; doesn't start the broker."""
    write_tool(folder / "kafka-storage.sh", artifacts.fetch_all(print), "kafka.tools.StorageTool")
    (folder / "kafka-server-start.sh").write_text('#!/bin/sh\necho "started with $1"\n')
    (folder / "kafka-server-start.sh").chmod(0o755)
    for path in ("/tmp", "/opt/kafka/bin", "/var/lib/kafka/data"):  # noqa: S108 - the container's
        text = text.replace(path, str(folder))
    common = (ROOT / "docker/kafka/server.properties").read_text().replace("/var/lib/kafka/data", str(folder))
    (folder / "common.properties").write_text(common)
    environment = {
        "PATH": "/usr/bin:/bin",
        "KAFKA_CLUSTER_ID": cluster_id,
        "KAFKA_NODE_ID": "1",
        "KAFKA_HOST": "kafka-1",
        "KAFKA_QUORUM_VOTERS": "1@kafka-1:9093",
        "KAFKA_LISTENERS_FILE": str(ROOT / "docker/kafka/plaintext.properties"),
    }
    text = text.replace("/etc/fraudstream/server.properties", str(folder / "common.properties"))
    return subprocess.run(
        ["bash", "-c", text], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_cluster_id_that_begins_with_a_hyphen_formats_the_disk(tmp_path: Path) -> None:
    """random_id generates such an id for one cluster in 64."""
    text = (ROOT / "docker/kafka/start.sh").read_text()
    done = _start(tmp_path, "-9KXvwTSRbOWu0XmYYlAvA", text)
    assert done.returncode == 0, done.stderr
    assert "cluster.id=-9KXvwTSRbOWu0XmYYlAvA" in (tmp_path / "log/meta.properties").read_text()
    assert "started with" in done.stdout


def test_as_an_argument_of_its_own_it_would_be_taken_for_an_option(tmp_path: Path) -> None:
    text = (ROOT / "docker/kafka/start.sh").read_text()
    broken = text.replace('"--cluster-id=${KAFKA_CLUSTER_ID}"', '--cluster-id "${KAFKA_CLUSTER_ID}"')
    assert broken != text
    assert _start(tmp_path, "-9KXvwTSRbOWu0XmYYlAvA", broken).returncode != 0
