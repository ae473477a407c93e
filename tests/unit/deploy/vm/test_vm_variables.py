"""Terraform gives each VM the variables and secrets that its containers need."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from fraudstream.settings import Settings

from tests.unit.deploy.container_files import TERRAFORM, VMS, boot_module, given, in_profile, kafka_users, secret_names
from tests.unit.deploy.terraform_files import Block, load

#: The variables that docker/vm/boot.py gives Compose on every VM.
FROM_BOOT = {"SECRETS", "PUBLISH_ADDRESS", "LOG_DRIVER"}

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z][A-Z0-9_]*)(?P<default>:-[^}]*)?}")


class TestWhatTheVmsAreGiven:
    def test_the_modules_take_each_role_that_boot_knows_and_compose_has(
        self, root: Path, compose: dict[str, Any]
    ) -> None:
        """A plan doesn't know a role that depends on a secret's id: a refused role would fail only on apply."""
        (role,) = [b for b in load(TERRAFORM / "modules/group") if b.kind == "variable" and b.labels == ("role",)]
        taken = {"kafka", *re.findall(r'"([\w-]+)"', role.body["validation"][0]["condition"])}
        profiles = {profile for service in compose["services"].values() for profile in service["profiles"]}
        assert taken == set(boot_module(root).TEMPLATE_FOLDERS) == profiles - {"local", "monitoring"} == set(VMS)

    @pytest.mark.parametrize("service", ["site", "worker-consumer-fraud", "worker-consumer-non-fraud"])
    def test_the_banks_name_and_texts_reach_pages_and_mails(
        self, services: dict[str, dict[str, Any]], blocks: list[Block], service: str
    ) -> None:
        variables = {"FRAUDSTREAM_BANK_NAME", "FRAUDSTREAM_BANK_TEXTS"}
        of_the_bank = {f"FRAUDSTREAM_{name.upper()}" for name in Settings.model_fields if name.startswith("bank_")}
        assert variables <= of_the_bank <= services[service]["environment"].keys()
        for file in ("site.tf", "consumer_fraud.tf", "consumer_non_fraud.tf"):
            assert variables <= given(blocks, file, "environment"), file

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_terraform_gives_every_variable_that_its_containers_need(
        self, compose: dict[str, Any], blocks: list[Block], profile: str, file: str
    ) -> None:
        """A variable with a default is for profile local, except those that would give a VM local names."""
        services = in_profile(compose["services"], profile)
        text = yaml.safe_dump(services)
        needed = {match["name"] for match in _VARIABLE.finditer(text) if match["default"] in (None, ":-")}
        local_names = {name for name in compose["services"] if "local" in compose["services"][name]["profiles"]}
        needed |= {
            match["name"]
            for match in _VARIABLE.finditer(text)
            if re.search(rf"//?({'|'.join(local_names)})\b|kafka-1:", match["default"] or "")
        }
        assert needed - FROM_BOOT - given(blocks, file, "environment") == set()

    def test_compose_reads_each_variable_that_the_boot_adds(self, root: Path) -> None:
        (added,) = re.findall(r"environment \|= \{\n(.*?)\n    }", (root / "docker/vm/boot.py").read_text(), re.S)
        assert set(re.findall(r'"([A-Z_]+)":', added)) == FROM_BOOT
        compose = (root / "docker/compose.yaml").read_text()
        assert {match["name"] for match in _VARIABLE.finditer(compose)} >= FROM_BOOT

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_terraform_gives_no_variable_that_nothing_reads(
        self, root: Path, compose: dict[str, Any], blocks: list[Block], profile: str, file: str
    ) -> None:
        boot = boot_module(root)
        read = set(re.findall(r"[A-Z][A-Z0-9_]+", yaml.safe_dump(in_profile(compose["services"], profile))))
        for template in boot.templates_of(profile):
            read |= set(re.findall(r"\$([A-Z_]+)", template.read_text()))
        read |= {"CA_POOL"} if profile == "kafka" else set()  # read by boot.py itself
        upper = {name for name in given(blocks, file, "environment") if name.isupper()}
        # The tasks of all workers share one environment: DAG parsing reads the queues of the others.
        assert upper - read == set()

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_every_secret_file_of_a_vm_s_containers_is_fetched_or_made(
        self, root: Path, compose: dict[str, Any], blocks: list[Block], profile: str, file: str
    ) -> None:
        needed = {
            name for service in in_profile(compose["services"], profile).values() for name in secret_names(service)
        }
        made = {template.name for template in boot_module(root).templates_of(profile)}
        made |= {"kafka_keystore.pem"} if profile == "kafka" else set()
        fetched = given(blocks, file, "secrets")
        if profile == "kafka":  # a secret for each entry of local.kafka_users
            fetched |= {f"kafka_{user}_password" for user in kafka_users(blocks)}
        assert needed - made - fetched == set()

    @pytest.mark.parametrize(("profile", "file"), [(profile, file) for profile, files in VMS.items() for file in files])
    def test_every_template_is_filled_by_what_its_vm_is_given(
        self, root: Path, blocks: list[Block], profile: str, file: str
    ) -> None:
        boot = boot_module(root)
        values = dict.fromkeys(given(blocks, file, "environment") | given(blocks, file, "secrets"), "1")
        for template in boot.templates_of(profile):
            filled = boot.fill(template.read_text(), values, template.name)
            if template.suffix == ".json":
                json.loads(filled)
            if template.suffix == ".yaml":
                yaml.safe_load(filled)

    def test_the_local_profile_has_an_example_of_every_secret_it_mounts(
        self, root: Path, services: dict[str, dict[str, Any]]
    ) -> None:
        needed = {name for service in in_profile(services, "local").values() for name in secret_names(service)}
        there = {path.name for path in (root / "docker/local/secrets").iterdir()} - {"README.md"}
        assert needed == there

    def test_no_example_that_airflow_reads_with_cat_ends_with_a_line_break(
        self, root: Path, services: dict[str, dict[str, Any]]
    ) -> None:
        """Airflow uses all output of a command: the database's name was "airflow
        ", and no container became healthy.
        """
        environment = services["airflow-scheduler"]["environment"]
        commands = [value for name, value in environment.items() if name.endswith("_CMD")]
        files = [re.sub("^cat /run/secrets/", "", command) for command in commands]
        assert len(files) == 6
        assert [f for f in files if (root / "docker/local/secrets" / f).read_text().endswith("\n")] == []

    def test_every_secret_is_declared_and_every_declared_one_is_used(self, compose: dict[str, Any]) -> None:
        used = {name for service in compose["services"].values() for name in secret_names(service)}
        assert used == set(compose["secrets"])
        assert all(value == {"file": f"${{SECRETS}}/{name}"} for name, value in compose["secrets"].items())
