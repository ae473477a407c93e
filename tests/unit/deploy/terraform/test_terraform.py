"""terraform/ against the google provider's schema, and the checks themselves against files with known mistakes."""

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
from fraudstream.cases.opening import FOLDER as CASES
from fraudstream.kafka.records import (
    CASE_EVENT,
    FRAUD_CONFIRMATION,
    FRAUD_TRANSACTION,
    NON_FRAUD_TRANSACTION,
    Partition,
)
from fraudstream.lake.compaction.spark import job_folder
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.names import FOLDER_OF, FOLDERS, MAILS
from fraudstream.lake.stream.totals import Totals

from tests.fakes.memory_store import MemoryStore
from tests.unit.deploy.provider_schema import ProviderSchema
from tests.unit.deploy.terraform_files import Block, load, parse, texts, unquote
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
    """vCPUs by the type's name: shared-core e2 types have two."""
    last = machine_type.rpartition("-")[2]
    return int(last) if last.isdecimal() else 2


@pytest.fixture(scope="module")
def modules(root: Path) -> dict[str, list[Block]]:
    """Blocks of the root module ("") and of each module under it, by folder."""
    folder = root / "terraform"
    return {"": load(folder)} | {
        f"modules/{path.name}": load(path) for path in sorted((folder / "modules").iterdir()) if path.is_dir()
    }


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
        """With Terraform's own formatter where there is one; else by the rules of it that people break."""
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
        """Each list of steps that changes disks or databases by hand, by the sentence that introduces it."""
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
        """~> 7.41: 7.41 or a later 7."""
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


class TestFirstApply:
    """What Google refuses while nothing runs yet, and what a later apply must not destroy."""

    def test_queries_of_metrics_that_nothing_has_sent_yet_are_accepted(self, modules: dict[str, list[Block]]) -> None:
        policies = [b for b in modules[""] if b.labels[:1] == ("google_monitoring_alert_policy",)]
        conditions = [condition for policy in policies for condition in policy.body["conditions"]]
        kind = "condition_prometheus_query_language"
        queries = [query for condition in conditions for query in condition.get(kind, [])]
        assert queries
        assert all(query["disable_metric_validation"] is True for query in queries)

    def test_a_managed_kafka_has_no_alert_that_waits_for_the_exporter(self, modules: dict[str, list[Block]]) -> None:
        (alerts,) = [b.body for b in modules[""] if b.kind == "locals" and "metric_alerts" in b.body]
        exporters = {
            name.strip('"')
            for name, alert in alerts["metric_alerts"].items()
            if isinstance(alert, dict) and re.search(r"\bkafka_|local\.waiting", str(alert["query"]))
        }
        assert exporters == {unquote(name) for name in alerts["exporter_alerts"]}

    def test_no_alert_waits_for_a_metric_made_of_log_lines(self, modules: dict[str, list[Block]]) -> None:
        for block in modules[""]:
            assert block.labels[:1] != ("google_logging_metric",), "its alert is refused until a line was counted"
            assert not [text for text in texts(block.body) if "logging.googleapis.com/user" in text], block.address

    def test_the_site_s_certificate_is_replaced_before_the_old_one_goes(self, modules: dict[str, list[Block]]) -> None:
        """Google deletes no certificate that a proxy uses, and has no two of one name."""
        (certificate,) = [b for b in modules[""] if b.labels[:1] == ("google_compute_managed_ssl_certificate",)]
        assert certificate.body["lifecycle"][0]["create_before_destroy"] is True
        assert "var.domain" in certificate.body["name"]

    def test_every_vm_waits_for_its_grants_secrets_and_way_out(self, modules: dict[str, list[Block]]) -> None:
        machines = [b for b in modules[""] if b.kind == "module"]
        assert len(machines) >= 7
        for machine in machines:
            assert machine.body["depends_on"] == ["${terraform_data.before_boot}"], machine.address
        (needs,) = [b for b in modules[""] if b.labels[:1] == ("terraform_data",)]
        needed = "".join(needs.body["depends_on"])
        resources = [b for b in modules[""] if b.kind == "resource"]
        versions = [".".join(b.labels) for b in resources if b.labels[0] == "google_secret_manager_secret_version"]
        assert len(versions) == 10
        for name in (*versions, "google_compute_router_nat.main", "google_storage_bucket_iam_member.release"):
            assert name in needed

    def test_the_brokers_disks_can_t_be_replaced_and_size_doesn_t_touch_them(
        self, modules: dict[str, list[Block]]
    ) -> None:
        (disk,) = [b for b in modules["modules/vm"] if b.labels[:1] == ("google_compute_disk",)]
        assert disk.body["lifecycle"][0]["prevent_destroy"] is True
        (kafka,) = [b for b in modules[""] if b.kind == "module" and b.labels == ("kafka",)]
        assert kafka.body["data_disk_type"] == "${var.kafka_disk.type}"
        assert kafka.body["data_disk_gb"] == "${var.kafka_disk.gb}"

    def test_what_google_refuses_to_delete_goes_with_what_holds_it(self, modules: dict[str, list[Block]]) -> None:
        kinds = {"google_service_networking_connection", "google_sql_user", "google_sql_database"}
        held = [b for b in modules[""] if b.kind == "resource" and b.labels[0] in kinds]
        assert {b.labels[0] for b in held} == kinds
        assert {unquote(b.body["deletion_policy"]) for b in held} == {"ABANDON"}

    def test_a_database_s_password_is_written_again_when_its_user_is_made(
        self, modules: dict[str, list[Block]]
    ) -> None:
        users = [b for b in modules[""] if b.labels[:1] == ("google_sql_user",)]
        versions = {b.labels[1]: b for b in modules[""] if b.labels[:1] == ("google_secret_manager_secret_version",)}
        assert len(users) == 3
        for user in users:
            version = versions[f"{user.labels[1]}_database"]
            assert version.body["lifecycle"][0]["replace_triggered_by"] == [f"${{google_sql_user.{user.labels[1]}}}"]
            assert version.body["secret_data_wo"] == user.body["password_wo"]


class TestNetworkAndRights:
    def test_no_firewall_rule_lets_the_internet_in(self, modules: dict[str, list[Block]]) -> None:
        for blocks in modules.values():
            for block in blocks:
                # An address with a port is one to listen on, not a range.
                open_to_all = [text for text in texts(block.body) if re.search(r"\b0\.0\.0\.0\b(?!:\d)|::/0", text)]
                assert open_to_all == [], block.address

    def test_every_firewall_rule_names_the_service_accounts_it_protects(self, modules: dict[str, list[Block]]) -> None:
        """All but Spark's, whose machines are Google's: it is bound to their subnetwork at both ends."""
        rules = [block for block in modules[""] if block.labels[:1] == ("google_compute_firewall",)]
        others = [rule for rule in rules if "target_service_accounts" not in rule.body]
        assert [rule.address for rule in others] == ["google_compute_firewall.spark"]
        spark = ["${google_compute_subnetwork.spark.ip_cidr_range}"]
        assert [others[0].body[end] for end in ("source_ranges", "destination_ranges")] == [spark, spark]

    def test_no_vm_has_a_public_address(self, modules: dict[str, list[Block]]) -> None:
        kinds = {"google_compute_instance", "google_compute_instance_template"}
        vms = [block for blocks in modules.values() for block in blocks if block.labels and block.labels[0] in kinds]
        assert {vm.labels[0] for vm in vms} == kinds
        for vm in vms:
            assert [interface for interface in vm.body["network_interface"] if "access_config" in interface] == []

    def test_no_basic_role_is_granted_and_project_wide_ones_are_few(self, modules: dict[str, list[Block]]) -> None:
        resources = [block for blocks in modules.values() for block in blocks if block.kind == "resource"]
        grants = [block for block in resources if "_iam_member" in block.labels[0]]
        roles = {unquote(block.body["role"]) for block in grants}
        assert not roles & {"roles/owner", "roles/editor", "roles/viewer"}
        project_wide = {unquote(b.body["role"]) for b in grants if b.labels[0] == "google_project_iam_member"}
        assert project_wide == {
            "roles/logging.logWriter",
            "roles/monitoring.metricWriter",
            "roles/biglake.editor",  # the catalog of the tables, whose files have grants of their own
            "roles/biglake.viewer",
            "roles/bigquery.jobUser",  # lets an analyst run queries; the catalog and the files have grants of their own
            "roles/managedkafka.client",  # lets an account connect; the ACLs of docker/kafka/acls decide about the rest
            "roles/dataproc.worker",  # with a condition that keeps it from other buckets
            "roles/compute.osAdminLogin",  # with a condition: on one VM
            "${google_project_iam_custom_role.see_vm.id}",  # the same
            "${google_project_iam_custom_role.run_batches.id}",
            "${google_project_iam_custom_role.watch_operations.id}",
        }
        (worker,) = (b for b in grants if unquote(b.body["role"]) == "roles/dataproc.worker")
        assert "buckets/dataproc-" in worker.body["condition"][0]["expression"]

    def test_secrets_are_written_by_write_only_arguments(self, modules: dict[str, list[Block]]) -> None:
        """All but the one that Memorystore makes and the two public certificates."""
        plain = {
            block.labels[1]
            for block in modules[""]
            if block.labels[:1] == ("google_secret_manager_secret_version",) and "secret_data" in block.body
        }
        assert plain == {"redis", "redis_ca", "ca"}


class TestTheLake:
    """What the bucket lets go of, and whom it lets in, against what the code does with it."""

    def test_no_rule_deletes_an_object_that_counts(self, modules: dict[str, list[Block]]) -> None:
        """Nothing of the lake expires: live objects go where compaction proved that they may, or with a dead job."""
        lake = next(block for block in modules[""] if block.address == "google_storage_bucket.lake")
        rules = [(rule["action"][0], rule["condition"][0]) for rule in lake.body["lifecycle_rule"]]
        deleting = [condition for action, condition in rules if unquote(action["type"]) == "Delete"]
        live = [condition for condition in deleting if unquote(condition.get("with_state", "")) != "ARCHIVED"]
        assert [[unquote(prefix) for prefix in condition["matches_prefix"]] for condition in live] == [["_spark/"]]
        assert job_folder("x").startswith("_spark/")
        colder = next(condition for action, condition in rules if unquote(action["type"]) == "SetStorageClass")
        assert '"${local.namespace}/${table}/data/"' in colder["matches_prefix"]
        (tables,) = (block.body["tables"] for block in modules[""] if block.kind == "locals" and "tables" in block.body)
        assert {unquote(table) for table in tables} == set(FOLDERS)

    @pytest.mark.parametrize(
        ("account", "topics"),
        [
            ("consumer-fraud", [FRAUD_TRANSACTION, FRAUD_CONFIRMATION, CASE_EVENT]),
            ("consumer-non-fraud", [NON_FRAUD_TRANSACTION]),
        ],
    )
    def test_a_consumer_may_touch_what_its_sinks_touch(
        self, modules: dict[str, list[Block]], account: str, topics: list[str]
    ) -> None:
        """A chain opened without and with progress, an object appended: every name lies under a granted prefix."""
        granted = next(
            [unquote(folder) for folder in block.body["consumer_folders"][account]]
            for block in modules[""]
            if block.kind == "locals" and "consumer_folders" in block.body
        )
        prefixes = tuple(f"{area}{folder}/" for folder in granted for area in ("", "_progress/"))
        store = MemoryStore()
        touched: set[str] = set()
        store.before = lambda _, name: touched.add(name)
        folders = {FOLDER_OF[topic] for topic in topics} | {MAILS}
        folders |= {CASES} if FRAUD_TRANSACTION in topics else set()
        assert set(granted) == folders
        for folder in folders:
            for _ in range(2):
                chain = AppendingChain(store, folder)
                partition = Partition(topics[0], 0)
                end = chain.open(partition) or 0
                chain.append(partition, end, end + 1, date(2023, 10, 7), b"", Totals(1, end))
        assert [name for name in touched if not name.startswith(prefixes)] == []
        assert {name.split("/")[0] for name in touched} >= {"_progress"}


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
    """Each would be worthless if it couldn't fail."""

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
