"""docker/kafka/access.sh creates exactly the users and ACLs of docker/kafka/acls."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.deploy.container_files import Right, kafka_users, rights
from tests.unit.deploy.terraform_files import Block

#: Stands for Kafka's tools: records its arguments, and the content of files among them.
_TOOL = f"""#!{sys.executable} -IS
import json, pathlib, sys
files = {{word: pathlib.Path(word).read_text() for word in sys.argv if word.endswith(".properties")}}
with open(sys.argv[0] + ".calls", "a") as calls:
    calls.write(json.dumps({{"arguments": sys.argv[1:], "files": files}}) + "\\n")
"""


@pytest.fixture(scope="module")
def applied(root: Path, tmp_path_factory: pytest.TempPathFactory, blocks: list[Block]) -> Path:
    """Runs the script with stand-ins for Kafka's tools and the container's files; returns the folder with its calls."""
    folder = tmp_path_factory.mktemp("access")
    (folder / "kafka_admin.properties").write_text("admin\n")
    for user in kafka_users(blocks):
        (folder / f"kafka_{user}_password").write_text(f"pw of {user}")
    for tool in ("kafka-configs.sh", "kafka-acls.sh"):
        (folder / tool).write_text(_TOOL)
        (folder / tool).chmod(0o755)
    script = (root / "docker/kafka/access.sh").read_text()
    for path in ("/tmp", "/opt/kafka/bin", "/run/secrets"):  # noqa: S108 - the container's
        assert path in script
        script = script.replace(path, str(folder))
    script = script.replace("/etc/fraudstream", str(root / "docker/kafka"))
    environment = {"PATH": "/usr/bin:/bin", "KAFKA_HOST": "kafka-1"}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return folder


def calls(folder: Path, tool: str) -> list[tuple[list[str], dict[str, str]]]:
    """The arguments and files of each call of a tool."""
    lines = (folder / f"{tool}.calls").read_text().splitlines()
    return [(call["arguments"], call["files"]) for call in map(json.loads, lines)]


def test_each_line_of_the_table_becomes_its_acls(applied: Path, root: Path) -> None:
    made = []
    for call, files in calls(applied, "kafka-acls.sh"):
        resource = next(kind for kind in ("cluster", "topic", "group", "transactional-id") if f"--{kind}" in call)
        operations = tuple(call[at + 1] for at, word in enumerate(call) if word == "--operation")
        name, pattern = "kafka-cluster", "literal"
        if resource != "cluster":
            name, pattern = call[call.index(f"--{resource}") + 1], call[call.index("--resource-pattern-type") + 1]
        assert call[:3] == ["--bootstrap-server", "kafka-1:9094", "--command-config"]
        assert list(files.values()) == ["admin\n"]
        assert "--add" in call
        principal = call[call.index("--allow-principal") + 1]
        made.append(Right(principal.removeprefix("User:"), operations, resource, name, pattern))
    assert made == rights(root)
    assert len(made) > 20


def test_each_user_gets_the_password_of_its_secret_and_no_process_list_shows_it(
    applied: Path, blocks: list[Block]
) -> None:
    made = {}
    for call, files in calls(applied, "kafka-configs.sh"):
        made[call[call.index("--entity-name") + 1]] = files[call[call.index("--add-config-file") + 1]]
        assert "pw of" not in " ".join(call)
    assert made == {user: f"SCRAM-SHA-512=password=pw of {user}\n" for user in kafka_users(blocks)}
    assert not list(applied.glob("credentials*")), "the password's file stays behind"
