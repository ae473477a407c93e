"""docker/Dockerfile and docker/kafka/acls agree with the code."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from fraudstream.kafka.records import CASE_EVENT, FRAUD_TRANSACTION, MAIL_RETRY, NON_FRAUD_TRANSACTION
from fraudstream.kafka.topic.definitions import TOPICS
from fraudstream.lake.stream.names import FOLDER_OF

from tests.unit.deploy.container_files import kafka_users, secret_names
from tests.unit.deploy.terraform_files import Block


class TestKafkaAccess:
    @pytest.fixture
    def acls(self, root: Path) -> list[list[str]]:
        lines = (root / "docker/kafka/acls").read_text().splitlines()
        return [line.split() for line in lines if line and not line.startswith("#")]

    def test_topics_of_the_table_are_the_code_s_and_each_has_a_writer(self, acls: list[list[str]]) -> None:
        known = {topic.name for topic in TOPICS}
        literal = {name for _, _, resource, name, _ in acls if resource == "topic" and name != "*"}
        assert literal == known
        written = {name for _, operations, resource, name, _ in acls if resource == "topic" and "Write" in operations}
        assert written == known

    def test_users_of_the_table_are_those_that_get_a_password(
        self, acls: list[list[str]], blocks: list[Block], services: dict[str, dict[str, Any]]
    ) -> None:
        assert {user for user, *_ in acls} == kafka_users(blocks)
        mounted = secret_names(services["kafka-access"]) - {"kafka_admin.properties", "kafka_ca.pem"}
        assert mounted == {f"kafka_{user}_password" for user in kafka_users(blocks)}

    def test_each_consumer_may_join_its_own_groups_and_no_other(self, acls: list[list[str]]) -> None:
        """The operator Consume names a group <role>-<topic>."""
        joined = {(user, name) for user, operations, kind, name, _ in acls if kind == "group" and "Read" in operations}
        roles = {topic: ["write_lake", "send_mail"] for topic in FOLDER_OF}
        roles[FRAUD_TRANSACTION] = [*roles[FRAUD_TRANSACTION], "open_cases"]
        roles[MAIL_RETRY] = ["send_mail"]
        roles[CASE_EVENT] = ["write_lake"]
        assert joined == {
            ("consumer_non_fraud" if topic == NON_FRAUD_TRANSACTION else "consumer_fraud", f"{role}-{topic}")
            for topic in roles
            for role in roles[topic]
        }

    def test_only_the_producer_and_a_person_write_transactions_and_the_monitor_nothing(
        self, acls: list[list[str]]
    ) -> None:
        writers = {
            user for user, operations, _, name, _ in acls if "Write" in operations and name.endswith("_transaction")
        }
        assert writers == {"producer", "operator"}
        assert not [row for row in acls if row[0] == "monitor" and re.search("Write|Create|Alter|Delete|All", row[1])]


class TestSiteImage:
    def test_only_needed_files_reach_a_build(self, root: Path) -> None:
        ignore = (root / ".dockerignore").read_text().splitlines()
        assert "*" in ignore
        allowed = {line[1:] for line in ignore if line.startswith("!")}
        copied = set(re.findall(r"^COPY (?!--from)(\S+) ", (root / "docker/Dockerfile").read_text(), re.M))
        assert {part for part in copied if not any(part == a or part.startswith(f"{a}/") for a in allowed)} == set()
        assert {part for part in copied if not (root / part).exists()} == set()

    def test_its_packages_cover_every_import_of_the_site(self, root: Path) -> None:
        locked = set(re.findall(r"^([a-z0-9._-]+)==", (root / "docker/requirements-site.txt").read_text(), re.M))
        assert third_party_imports(root, "fraudstream.site.__main__") - locked == set()

    def test_its_packages_have_the_versions_that_everything_is_tested_with(self, root: Path) -> None:
        pins = [
            dict(re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", (root / name).read_text(), re.M))
            for name in ("docker/requirements-site.txt", "requirements.txt")
        ]
        assert {name: version for name, version in pins[0].items() if pins[1].get(name) != version} == {}


def third_party_imports(root: Path, start: str) -> set[str]:
    """Distributions that a module of the project imports, directly or through other modules of the project."""
    distributions = packages_distributions()
    pending, seen, found = [start], set(), set()
    while pending:
        module = pending.pop()
        path = root / "plugins" / Path(*module.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if module in seen or not file.exists():
            continue
        seen.add(module)
        pending.append(module.rpartition(".")[0] or module)
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                top = name.split(".")[0]
                if top == "fraudstream":
                    pending.append(name)
                elif top not in sys.stdlib_module_names:
                    found.add(re.sub(r"[._]+", "-", distributions[top][0]).lower())
    return found
