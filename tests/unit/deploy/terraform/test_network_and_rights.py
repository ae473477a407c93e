"""Terraform: the order of creation, the network, the rights and the lake."""

import re
from datetime import date

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
from tests.unit.deploy.terraform_files import Block, texts, unquote


class TestFirstApply:
    """What Google refuses at a first apply, and what a later apply must not destroy."""

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
        """Google doesn't delete a certificate that a proxy uses, and doesn't allow two with the same name."""
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
                # An address with a port is a listening address, not a range.
                open_to_all = [text for text in texts(block.body) if re.search(r"\b0\.0\.0\.0\b(?!:\d)|::/0", text)]
                assert open_to_all == [], block.address

    def test_every_firewall_rule_names_the_service_accounts_it_protects(self, modules: dict[str, list[Block]]) -> None:
        """All except Spark's rule, whose machines are Google's: it names their subnetwork as source and destination."""
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
            "roles/biglake.editor",  # the tables' catalog; the files have their own grants
            "roles/biglake.viewer",
            "roles/bigquery.jobUser",  # lets an analyst run queries; catalog and files have their own grants
            "roles/managedkafka.client",  # lets an account connect; the ACLs of docker/kafka/acls decide what it may do
            "roles/dataproc.worker",  # with a condition that excludes other buckets
            "roles/compute.osAdminLogin",  # with a condition: for one VM
            "${google_project_iam_custom_role.see_vm.id}",  # the same
            "${google_project_iam_custom_role.run_batches.id}",
            "${google_project_iam_custom_role.watch_operations.id}",
        }
        (worker,) = (b for b in grants if unquote(b.body["role"]) == "roles/dataproc.worker")
        assert "buckets/dataproc-" in worker.body["condition"][0]["expression"]

    def test_secrets_are_written_by_write_only_arguments(self, modules: dict[str, list[Block]]) -> None:
        """All except the one that Memorystore generates, and the two public certificates."""
        plain = {
            block.labels[1]
            for block in modules[""]
            if block.labels[:1] == ("google_secret_manager_secret_version",) and "secret_data" in block.body
        }
        assert plain == {"redis", "redis_ca", "ca"}


class TestTheLake:
    """What the bucket's lifecycle rules delete, and who has access, compared with what the code does."""

    def test_no_rule_deletes_an_object_that_counts(self, modules: dict[str, list[Block]]) -> None:
        """Objects of the lake don't expire, except abandoned Spark jobs: only compaction deletes live objects."""
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
        """Opens a chain with and without a progress and appends an object: every object name has a granted prefix."""
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
