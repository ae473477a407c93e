"""Terraform: arguments, references, names, and what docs/deploy.md says about them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.deploy.provider_schema import ProviderSchema
from tests.unit.deploy.terraform_files import Block, parse, unquote
from tests.unit.deploy.terraform_rules import check_modules, check_references, check_schema

GOOD = """
resource "google_storage_bucket" "lake" {
  name     = "lake"
  location = "EU"
  versioning {
    enabled = true
  }
}
output "bucket" {
  value = google_storage_bucket.lake.name
}
"""


def _deploy_page(root: Path) -> str:
    return (root / "docs/deploy.md").read_text()


def _cpus(machine_type: str) -> int:
    """The number of vCPUs, from the machine type's name; shared-core e2 types have two."""
    last = machine_type.rpartition("-")[2]
    return int(last) if last.isdecimal() else 2


class TestOurFiles:
    def test_every_google_resource_has_known_arguments_and_all_required_ones(
        self, modules: dict[str, list[Block]], schema: ProviderSchema
    ) -> None:
        assert [finding for blocks in modules.values() for finding in check_schema(blocks, schema)] == []

    def test_every_reference_is_declared_and_every_declaration_is_read(
        self, modules: dict[str, list[Block]], schema: ProviderSchema
    ) -> None:
        assert [finding for blocks in modules.values() for finding in check_references(blocks, schema)] == []

    def test_modules_are_called_with_their_own_variables(self, modules: dict[str, list[Block]]) -> None:
        assert check_modules(modules) == []

    def test_the_files_are_formatted(self, root: Path) -> None:
        """Uses Terraform's own formatter if it is installed, otherwise those of its rules that are often violated."""
        terraform = shutil.which("terraform")
        if terraform:
            command = [terraform, "fmt", "-check", "-recursive", "-list=true", str(root / "terraform")]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            assert (done.returncode, done.stdout) == (0, "")
        for path in sorted((root / "terraform").rglob("*.tf")):
            lines = path.read_text().splitlines()
            assert [line for line in lines if "\t" in line or line != line.rstrip()] == [], path.name

    def test_the_seed_s_variables_keep_their_names(self, modules: dict[str, list[Block]]) -> None:
        names = {block.labels[0] for block in modules[""] if block.kind == "variable"}
        assert {"credentials_project", "public_key_vm", "private_key_vm", "project", "name_dataset"} <= names

    def test_every_variable_and_output_is_described_and_every_variable_typed(
        self, modules: dict[str, list[Block]]
    ) -> None:
        for blocks in modules.values():
            for block in blocks:
                if block.kind in ("variable", "output"):
                    assert len(block.body.get("description", "")) > 15, block.address
                if block.kind == "variable":
                    assert "type" in block.body, block.address

    def test_the_example_gives_every_variable_that_has_no_default(
        self, root: Path, modules: dict[str, list[Block]]
    ) -> None:
        import hcl2  # noqa: PLC0415 - .tfvars has attributes at the top level, which only this test reads

        given = set(hcl2.loads((root / "terraform/terraform.tfvars.example").read_text())) - {"__comments__"}
        variables = {block.labels[0]: block for block in modules[""] if block.kind == "variable"}
        assert given <= set(variables)
        assert {name for name, block in variables.items() if "default" not in block.body} <= given

    def test_the_table_of_resources_in_the_docs_is_complete(self, root: Path) -> None:
        rows = re.findall(r"^\| (\S+\.tf) \| (.+?) \| (.+?) \|", _deploy_page(root), re.M)
        assert {state for _, _, state in rows} <= {"run", "planned on mocks", "only read"}
        documented = {
            (file, name) for file, names, _ in rows for name in names.split(", ") if not name.startswith("module ")
        }
        folder = root / "terraform"
        declared = {
            (str(path.relative_to(folder)), block.labels[0])
            for path in folder.rglob("*.tf")
            for block in parse(path.read_text(), path.name)
            if block.kind in ("resource", "data", "ephemeral")
        }
        assert documented == declared

    def test_steps_on_google_cloud_that_nobody_ran_say_so(self, root: Path) -> None:
        """Checks each list of steps that changes disks or databases by hand, by the sentence that introduces it."""
        restore = _deploy_page(root).partition("### Back-up and restore")[2].partition("**One broker's disk.**")[0]
        grow = _deploy_page(root).partition("**Grow.**")[2].partition("1. Stop")[0]
        moved = _deploy_page(root).partition("**A deployment from before the groups**")[2].partition("```")[0]
        topics = (root / "docs/restore.md").read_text().partition("## Steps")[2].partition("1. Pause")[0]
        assert [
            name
            for name, text in (("restore", restore), ("grow", grow), ("moved", moved), ("topics", topics))
            if "never run" not in text
        ] == []

    def test_the_lock_file_has_a_version_of_each_provider_that_versions_tf_allows(self, root: Path) -> None:
        """~> 7.41 allows 7.41 and later versions of 7."""
        wanted = re.findall(
            r'source  = "(\S+)"\s+version = "~> (\d+)\.(\d+)"', (root / "terraform/versions.tf").read_text()
        )
        lock = (root / "terraform/.terraform.lock.hcl").read_text()
        locked = re.findall(r'provider "registry\.terraform\.io/(\S+)" \{\s+version\s+= "(\d+)\.(\d+)', lock)
        assert len(wanted) == 3
        assert sorted(name for name, _, _ in locked) == sorted(name for name, _, _ in wanted)
        least = {name: (major, int(minor)) for name, major, minor in wanted}
        assert [name for name, major, minor in locked if major != least[name][0] or int(minor) < least[name][1]] == []

    def test_the_quotas_in_the_docs_are_those_of_the_machines_and_disks(
        self, root: Path, modules: dict[str, list[Block]]
    ) -> None:
        sizes = next(b.body["sizes"] for b in modules[""] if b.kind == "locals" and "sizes" in b.body)
        rows = dict(re.findall(r"^\| (CPUs|N2 CPUs|Persistent Disk SSD)\b[^|]* \| (.+) \|$", _deploy_page(root), re.M))
        for column, (size, broker_gb, sites) in enumerate((("trial", 50, 1), ("production", 500, 2))):
            machines = {name: unquote(kind) for name, kind in sizes[size].items() if isinstance(kind, str)}
            counts = {"kafka": 3, "registry": 1, "airflow": 1, "worker": 3, "site": sites}
            cpus = {"e2": 0, "n2": 0}
            for name, count in counts.items():
                cpus[machines[name][:2]] += count * _cpus(machines[name])
            disks = 30 * sum(counts.values()) + 3 * broker_gb
            found = [re.findall(r"[\d,]+", rows[name].split(" | ")[column])[0].replace(",", "") for name in rows]
            assert [int(number) for number in found] == [cpus["e2"], cpus["n2"], disks], size

    def test_nothing_is_copied_over_ssh_and_no_key_of_a_service_account_is_made(
        self, modules: dict[str, list[Block]]
    ) -> None:
        for blocks in modules.values():
            for block in blocks:
                assert "provisioner" not in block.body, block.address
                assert block.labels[:1] != ("google_service_account_key",), block.address


class TestTheRelease:
    def test_it_has_what_the_vms_need_and_nothing_of_this_machine(
        self, root: Path, modules: dict[str, list[Block]]
    ) -> None:
        archive = next(block for block in modules[""] if block.labels[:1] == ("archive_file",))
        assert unquote(archive.body["source_dir"]).endswith("/../docker")
        left_out = {unquote(pattern).split("/")[0] for pattern in archive.body["excludes"]} - {"**"}
        assert left_out == {"local", ".env"}
        assert {path.name for path in (root / "docker").iterdir()} >= left_out | {"compose.yaml", "kafka", "vm"}

    def test_a_vm_without_images_is_refused_in_the_plan(self, modules: dict[str, list[Block]]) -> None:
        (before,) = [b for b in modules[""] if b.labels[:1] == ("terraform_data",)]
        assert before.body["lifecycle"][0]["precondition"][0]["condition"] == "${var.images != null}"


class TestTheChecks:
    """Checks that the checks can fail."""

    def test_a_good_file_passes(self, schema: ProviderSchema) -> None:
        blocks = parse(GOOD, "good.tf")
        assert check_schema(blocks, schema) == []
        assert check_references(blocks, schema) == []

    @pytest.mark.parametrize(
        ("was", "becomes", "finding"),
        [
            ('location = "EU"', "", "required argument 'location' is missing"),
            ('location = "EU"', 'location = "EU"\n  locaton = "EU"', "unknown argument 'locaton'"),
            ("enabled = true", "enable = true", "unknown argument 'enable'"),
            ("enabled = true", "", "required argument 'enabled' is missing"),
            ("versioning {", "versioning = {", "must be written as a block"),
            ('location = "EU"', "location {\n  }", "is an attribute, not a block"),
            ("versioning {", "versioning {\n    enabled = true\n  }\n  versioning {", "takes it once"),
            ("enabled = true", 'enabled = "often"', "the provider takes a boolean"),
            ('location = "EU"', 'location = ["EU"]', "the provider takes a string"),
            ("google_storage_bucket", "google_storage_bukket", "the provider has no resource google_storage_bukket"),
        ],
    )
    def test_a_mistake_in_a_resource_is_found(
        self, schema: ProviderSchema, was: str, becomes: str, finding: str
    ) -> None:
        found = check_schema(parse(GOOD.replace(was, becomes), "bad.tf"), schema)
        assert any(finding in text for text in found), found
        assert all(text.startswith("bad.tf: google_storage_bu") for text in found)

    def test_a_mistake_in_a_dynamic_block_is_found(self, schema: ProviderSchema) -> None:
        text = GOOD.replace(
            "versioning {\n    enabled = true\n  }",
            'dynamic "versioning" {\n    for_each = [1]\n    content {\n      enable = true\n    }\n  }',
        )
        found = check_schema(parse(text, "bad.tf"), schema)
        assert [finding for finding in found if "unknown argument 'enable'" in finding]

    def test_a_value_outside_the_documented_set_is_found(self, schema: ProviderSchema) -> None:
        text = 'resource "google_compute_firewall" "a" {\n  name = "a"\n  network = "n"\n  direction = "INWARD"\n}\n'
        assert any(
            "'INWARD' is none of EGRESS, INGRESS" in finding for finding in check_schema(parse(text, "f"), schema)
        )

    @pytest.mark.parametrize(
        ("was", "becomes", "finding"),
        [
            ("lake.name", "sea.name", "google_storage_bucket.sea.name isn't declared"),
            ("lake.name", "lake.nam", "has no attribute 'nam'"),
            ("google_storage_bucket.lake.name", "var.bucket", "var.bucket isn't declared"),
            (
                "google_storage_bucket.lake.name",
                '"${google_storage_bucket.lake.name}-${var.no}"',
                "var.no isn't declared",
            ),
            ("google_storage_bucket.lake.name", "local.bucket", "local.bucket isn't declared"),
            ('output "bucket"', 'variable "unused" {\n}\noutput "bucket"', "variable 'unused' is read nowhere"),
            ('output "bucket"', 'locals {\n  unused = 1\n}\noutput "bucket"', "local 'unused' is read nowhere"),
        ],
    )
    def test_a_broken_reference_is_found(self, schema: ProviderSchema, was: str, becomes: str, finding: str) -> None:
        found = check_references(parse(GOOD.replace(was, becomes), "bad.tf"), schema)
        assert any(finding in text for text in found), found

    def test_a_wrong_call_of_a_module_is_found(self) -> None:
        child = parse('variable "a" {\n  type = string\n}\noutput "b" {\n  value = 1\n}\n', "child.tf")
        call = 'module "m" {\n  source = "./child"\n  c = 1\n}\noutput "o" {\n  value = module.m.d\n}\n'
        assert check_modules({"": parse(call, "root.tf"), "child": child}) == [
            "root.tf: module.m: unknown variable 'c'",
            "root.tf: module.m: variable 'a' has no default and isn't given",
            "root.tf: output.o: module.m has no output 'd'",
        ]

    def test_what_isn_t_hcl_is_refused_with_the_file_s_name(self) -> None:
        with pytest.raises(ValueError, match=r"broken\.tf isn't HCL"):
            parse('resource "google_storage_bucket" {{\n', "broken.tf")
