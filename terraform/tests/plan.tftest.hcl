# Plans with mocks of the providers that need an account or write files. Run `terraform test` where the providers can be
# installed. Nothing is applied: a test must destroy what it applies, and the brokers' disks prevent that. The random
# provider is real, because Terraform can't mock ephemeral resources.

mock_provider "google" {
  mock_resource "google_redis_instance" {
    defaults = {
      server_ca_certs = [{ cert = "-----BEGIN CERTIFICATE-----", create_time = "", expire_time = "", serial_number = "", sha1_fingerprint = "" }]
    }
  }
}

mock_provider "archive" {
  mock_data "archive_file" {
    defaults = { output_sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }
  }
}

override_resource {
  target          = module.airflow.google_compute_address.private
  override_during = plan
  values          = { address = "10.10.0.9" }
}

override_resource {
  target          = google_compute_address.private # for runs that plan the module group alone
  override_during = plan
  values          = { address = "10.10.0.8", self_link = "https://www.googleapis.com/compute/v1/projects/my-project/regions/us-central1/addresses/producer" }
}

variables {
  project     = "my-project"
  domain      = "confirm.example.com"
  operators   = ["user:me@example.com", "group:team@example.com"]
  alert_email = "me@example.com"
  bank_name   = "Bank Contoh"
  images = {
    airflow = "us-central1-docker.pkg.dev/my-project/fraudstream/airflow@sha256:${sha256("airflow")}"
    site    = "us-central1-docker.pkg.dev/my-project/fraudstream/site@sha256:${sha256("site")}"
  }
  # Terraform 1.11 requires values for ephemeral variables in tests.
  smtp_password         = "secret"
  customer_database_uri = "secret"
  airflow_login_secret  = "secret"

  smtp = { host = "smtp.example.com", port = 587, user = "fraudstream", sender = "Example Bank <no-reply@example.com>" }
}

run "trial" {
  command = plan

  assert {
    condition     = output.compute_instances == "us-central1-a/kafka-1,us-central1-b/kafka-2,us-central1-c/kafka-3"
    error_message = "start_kafka needs the three brokers as zone/name"
  }
  assert {
    condition     = output.bootstrap_servers == "kafka-1.us-central1-a.c.my-project.internal:9092,kafka-2.us-central1-b.c.my-project.internal:9092,kafka-3.us-central1-c.c.my-project.internal:9092"
    error_message = "clients need the brokers' internal names"
  }
  assert {
    condition     = length(output.ssh) == 9
    error_message = "a trial has nine machines"
  }
  assert {
    condition     = output.airflow_password != null && contains(keys(google_secret_manager_secret_iam_member.reader), "airflow_admin_password airflow") && length(google_secret_manager_secret.login) == 0
    error_message = "a trial has the user admin"
  }
  assert {
    condition     = !google_sql_database_instance.airflow.deletion_protection && google_storage_bucket.lake.force_destroy
    error_message = "a trial can be destroyed"
  }
  assert {
    condition     = google_monitoring_alert_policy.metrics["CasesOverdue"].conditions[0].condition_prometheus_query_language[0].duration == "5400s" && google_monitoring_alert_policy.metrics["AuditRed"].severity == "CRITICAL"
    error_message = "each rule of include/alerts is an alert policy"
  }
}

run "production" {
  command = plan
  variables {
    size          = "production"
    airflow_login = { client_id = "1.apps.googleusercontent.com", users = { "me@example.com" = "Admin", "clerk@example.com" = "Clerk" } }
  }

  assert {
    condition     = !strcontains(google_monitoring_alert_policy.logs["answers_not_recorded"].conditions[0].condition_matched_log[0].filter, "cloud_run_revision") && google_compute_backend_service.site.timeout_sec == 30
    error_message = "a site on VMs has the load balancer's time limit and no service on Cloud Run"
  }
  assert {
    condition     = length(module.site) == 2 && length(google_compute_backend_service.site.backend) == 2
    error_message = "production has two sites behind the load balancer"
  }
  assert {
    condition     = google_sql_database_instance.airflow.deletion_protection && google_sql_database_instance.airflow.settings[0].availability_type == "REGIONAL"
    error_message = "production's database is regional and protected"
  }
  assert {
    condition     = output.airflow_password == null && !contains(keys(google_secret_manager_secret.generated), "airflow_admin_password") && contains(keys(google_secret_manager_secret_iam_member.reader), "login airflow")
    error_message = "nobody shares a password of Airflow"
  }
  assert {
    condition     = google_iap_tunnel_iam_member.airflow_users["clerk@example.com"].condition[0].expression == "destination.ip == \"10.10.0.9\" && destination.port == 8080"
    error_message = "who may log in reaches Airflow's page and no other port"
  }
  assert {
    condition     = length(google_project_iam_member.airflow_users) == 2 && endswith(google_project_iam_member.airflow_users["clerk@example.com"].condition[0].expression, "resource.name.endsWith(\"/zones/us-central1-a/instances/airflow\")")
    error_message = "who may log in sees that VM alone"
  }
}

run "production_has_no_shared_login" {
  command = plan
  variables {
    size = "production"
  }
  expect_failures = [var.airflow_login]
}

run "logins_that_google_or_airflow_don_t_know_are_refused" {
  command = plan
  variables {
    airflow_login = { client_id = "client", users = { "group:team@example.com" = "Owner" } }
  }
  expect_failures = [var.airflow_login]
}

run "a_managed_kafka_has_the_same_rights_and_no_brokers" {
  command = plan
  variables {
    kafka = "managed"
  }

  assert {
    condition     = length(module.kafka) == 0 && length(google_privateca_ca_pool.kafka) == 0 && length(output.ssh) == 6
    error_message = "no broker and no authority of our own"
  }
  assert {
    condition     = local.client_environment.FRAUDSTREAM_KAFKA_SASL_MECHANISM == "OAUTHBEARER" && output.compute_instances == ""
    error_message = "clients sign in with tokens, and start_kafka has nothing to start"
  }
  assert {
    condition     = toset([for entry in local.managed_acls["topic/non_fraud_transaction"] : entry.operation]) == toset(["READ", "WRITE", "DESCRIBE"]) && contains(keys(google_managed_kafka_acl.roles), "transactionalIdPrefixed/fraudstream-produce-") && contains(keys(google_managed_kafka_acl.roles), "allTopics") && contains(keys(google_managed_kafka_acl.roles), "cluster")
    error_message = "each line of docker/kafka/acls becomes entries of an ACL"
  }
  assert {
    condition     = local.kafka_principals["operator"] == ["me@example.com"] && !contains(keys(google_monitoring_alert_policy.metrics), "broker down")
    error_message = "operators who are persons have the operator's rights, and no alert waits for the exporter"
  }
}

run "a_site_on_cloud_run_has_no_vm_and_the_same_settings" {
  command = plan
  variables {
    site = "cloud_run"
  }

  assert {
    condition     = length(module.site) == 0 && length(output.ssh) == 8 && length(google_compute_backend_service.site.backend) == 1 && length(google_compute_health_check.site) == 0
    error_message = "Cloud Run is the one backend of the load balancer"
  }
  assert {
    condition     = google_cloud_run_v2_service.site[0].ingress == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" && google_cloud_run_v2_service.site[0].template[0].scaling[0].min_instance_count == 1
    error_message = "the load balancer alone reaches it, and an instance is always there"
  }
  assert {
    condition     = length(setsubtract(keys(local.site_environment), [for env in google_cloud_run_v2_service.site[0].template[0].containers[0].env : env.name])) == 0
    error_message = "it has every setting that a VM has"
  }
  assert {
    condition     = toset(keys(google_compute_firewall.site)) == toset(["kafka", "registry"]) && tolist(google_compute_firewall.site["kafka"].source_ranges) == tolist(["10.10.2.0/24"])
    error_message = "it reaches the brokers and the registry"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.logs["answers_not_recorded"].conditions[0].condition_matched_log[0].filter, "cloud_run_revision")
    error_message = "its log lines raise the alerts too"
  }
}

run "machines_need_images" {
  command = plan
  variables {
    images = null
  }
  expect_failures = [terraform_data.before_boot]
}

run "least_rights" {
  command = plan

  assert {
    condition     = toset([for reader in values(google_secret_manager_secret_iam_member.reader) : reader.role]) == toset(["roles/secretmanager.secretAccessor"])
    error_message = "secrets are read, never administered"
  }
  assert {
    condition     = !contains(keys(google_secret_manager_secret_iam_member.reader), "kafka_producer_password site")
    error_message = "a role reads its own Kafka password alone"
  }
  assert {
    condition     = length([for key in keys(google_secret_manager_secret_iam_member.reader) : key if endswith(key, " site")]) == 3
    error_message = "the site reads its password, the links' keys and the authority's certificate"
  }
}

run "conditions_google_takes" {
  command = plan

  assert {
    condition = alltrue([
      for grant in values(google_storage_bucket_iam_member.consumer) : length(split("||", grant.condition[0].expression)) <= 13
    ])
    error_message = "an IAM condition has at most twelve logical operators"
  }
  assert {
    condition     = !strcontains(google_storage_bucket_iam_member.consumer["consumer-non-fraud transaction"].condition[0].expression, "fraud_confirmation")
    error_message = "a consumer reaches its own folders alone"
  }
}

run "a_vm_in_a_group_keeps_its_name_address_and_metadata" {
  command = plan
  module {
    source = "./modules/group"
  }
  variables {
    project         = "my-project"
    name            = "producer"
    role            = "worker"
    zone            = "us-central1-a"
    machine_type    = "e2-medium"
    spot            = true
    health          = { port = 8793, path = "/openapi.json" }
    subnetwork      = "subnetwork"
    service_account = "producer@my-project.iam.gserviceaccount.com"
    operators       = ["user:me@example.com"]
    public_key      = ""
    image           = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
    release         = "bucket/release.zip"
    environment     = { WORKER_QUEUE = "producer" }
    secrets         = {}
    labels          = {}
  }

  assert {
    condition     = google_compute_per_instance_config.vm.name == "producer" && one(google_compute_per_instance_config.vm.preserved_state[0].internal_ip).ip_address[0].address == "https://www.googleapis.com/compute/v1/projects/my-project/regions/us-central1/addresses/producer"
    error_message = "the VM's name and address outlive the VM"
  }
  assert {
    condition     = google_compute_per_instance_config.vm.preserved_state[0].metadata["fraudstream-role"] == "worker" && google_compute_per_instance_config.vm.most_disruptive_allowed_action == "REFRESH"
    error_message = "a release changes the metadata of the VM and doesn't restart it"
  }
  assert {
    condition     = google_compute_instance_template.vm.scheduling[0].provisioning_model == "SPOT" && google_compute_instance_group_manager.vm.instance_lifecycle_policy[0].default_action_on_failure == "REPAIR"
    error_message = "a spot VM that Google took is made anew"
  }
  assert {
    condition     = google_compute_instance_group_manager.vm.update_policy[0].replacement_method == "RECREATE" && google_compute_instance_group_manager.vm.update_policy[0].max_surge_fixed == 0
    error_message = "two VMs can't have one name"
  }
  assert {
    condition     = google_compute_health_check.vm.check_interval_sec * google_compute_health_check.vm.unhealthy_threshold == 600 && google_compute_instance_group_manager.vm.auto_healing_policies[0].initial_delay_sec == 1800
    error_message = "a reboot isn't taken for a fault, nor is a first boot"
  }
  assert {
    condition     = google_iap_tunnel_iam_member.operators["user:me@example.com"].condition[0].expression == "destination.ip == \"10.10.0.8\"" && google_project_iam_member.operators["user:me@example.com"].condition[0].expression == "resource.type == \"compute.googleapis.com/Instance\" && resource.name.endsWith(\"/zones/us-central1-a/instances/producer\")"
    error_message = "operators' rights don't go with a VM that is replaced"
  }
}

run "a_broker_is_in_no_group" {
  command = plan
  module {
    source = "./modules/group"
  }
  variables {
    project         = "my-project"
    name            = "kafka-1"
    role            = "kafka"
    zone            = "us-central1-a"
    machine_type    = "e2-medium"
    health          = { port = 9092, path = "/" }
    subnetwork      = "subnetwork"
    service_account = "kafka@my-project.iam.gserviceaccount.com"
    operators       = []
    public_key      = ""
    image           = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
    release         = "bucket/release.zip"
    environment     = {}
    secrets         = {}
    labels          = {}
  }
  expect_failures = [var.role]
}

run "health_checks_reach_one_port_of_each_role" {
  command = plan

  assert {
    condition     = alltrue([for rule in google_compute_firewall.health_checks : toset(rule.source_ranges) == toset(["35.191.0.0/16", "130.211.0.0/22"])])
    error_message = "Google's probes come from these ranges and no other"
  }
  assert {
    condition     = { for name, rule in google_compute_firewall.health_checks : name => tolist(one(rule.allow).ports) } == { airflow = tolist(["8080"]), registry = tolist(["8081"]), workers = tolist(["8793"]) }
    error_message = "each role is asked at one port; the site through the load balancer's rule"
  }
}

run "workers_differ_in_their_queue_and_nothing_else" {
  command = plan

  assert {
    condition     = toset([module.producer.name, module.consumer_fraud.name, module.consumer_non_fraud.name]) == toset(["producer", "consumer-fraud", "consumer-non-fraud"])
    error_message = "a VM is named for its queue"
  }
}

run "spark_has_an_account_and_a_subnetwork_of_its_own" {
  command = plan

  assert {
    condition     = toset(google_compute_firewall.spark.destination_ranges) == toset([google_compute_subnetwork.spark.ip_cidr_range])
    error_message = "Spark's machines are open to one another, not to the rest"
  }
  assert {
    condition     = google_storage_bucket_iam_member.spark_writes.role == "roles/storage.objectUser" && google_storage_bucket_iam_member.spark_reads.role == "roles/storage.objectViewer"
    error_message = "Spark writes its job's folder and reads the rest"
  }
}

run "a_dataset_given_as_a_path_is_uploaded" {
  command = plan
  variables {
    name_dataset = "versions.tf" # any existing file
  }

  assert {
    condition     = google_storage_bucket_object.dataset[0].name == "dataset/versions.tf" && endswith(local.task_environment.FRAUDSTREAM_DATASET, "/dataset/versions.tf")
    error_message = "the object is the one that the producer reads"
  }
}

run "analysts_read_the_tables_and_nothing_else_of_the_lake" {
  command = plan
  variables {
    analysts = ["group:analysts@example.com"]
  }

  assert {
    condition     = strcontains(google_storage_bucket_iam_member.analysts["group:analysts@example.com"].condition[0].expression, "my_project_fraudstream_lake/") && google_project_iam_member.analysts_catalog["group:analysts@example.com"].role == "roles/biglake.viewer"
    error_message = "BigQuery asks for the catalog and the tables' files"
  }
}

run "the_seed_s_key_files_are_checked" {
  command = plan
  variables {
    credentials_project = "/nonexistent/key.json"
    public_key_vm       = "/nonexistent/key.pub"
    name_dataset        = "/nonexistent/paysim.csv"
  }
  expect_failures = [var.credentials_project, var.public_key_vm, var.name_dataset]
}

run "wrong_values_are_refused" {
  command = plan
  variables {
    project     = "No Project"
    size        = "huge"
    site        = "app_engine"
    zones       = ["us-central1-a", "us-central1-a", "us-central1-b"]
    domain      = "https://confirm.example.com"
    operators   = ["me@example.com"]
    analysts    = ["analysts@example.com"]
    alert_email = "nobody"
    bank_name   = "Bank'"
    smtp        = { host = "smtp.example.com", port = 25, user = "fraudstream", sender = "no-reply@example.com" }
  }
  expect_failures = [var.project, var.size, var.site, var.zones, var.domain, var.operators, var.analysts, var.alert_email, var.bank_name, var.smtp]
}

# boot.py would refuse these values, too, but only on VMs that then boot without their containers.
run "values_that_a_vm_can_t_pass_on_are_refused" {
  command = plan
  variables {
    smtp                    = { host = "smtp.example.com", port = 587, user = "fraudstream", sender = "Customer's Bank <no-reply@example.com>" }
    customer_directory      = "gs://bank's/customers.csv"
    mail_recipient_template = "o'neill@example.com"
    mail_allowed_recipients = ["*@example.com, *@example.org"]
    bounces                 = { envelope_sender = "returned.mails@example.com", relays = ["0.0.0.0/0"] }
    settings                = { FRAUDSTREAM_MAIL_EHLO_NAME = "it's" }
    images                  = { airflow = "us-central1-docker.pkg.dev/my-project/fraudstream/airflow:latest", site = "site" }
  }
  expect_failures = [var.smtp, var.customer_directory, var.mail_recipient_template, var.mail_allowed_recipients, var.settings, var.bounces, var.images]
}

run "a_receiver_of_returned_mails_a_quoted_sender_a_directory_and_a_long_domain_are_accepted" {
  command = plan
  variables {
    customer_directory = "postgres:crm.customers"

    bounces = { envelope_sender = "bounces@example.com", relays = ["10.20.0.0/24"] }
    smtp    = { host = "smtp.example.com", port = 587, user = "fraudstream", sender = "\"Customer’s Bank, Inc.\" <no-reply@example.com>" }
    domain  = "confirm.${join(".", [for part in range(10) : "a-long-part-of-a-name"])}.example.com"
  }

  assert {
    condition     = local.task_environment.FRAUDSTREAM_MAIL_SENDER == var.smtp.sender
    error_message = "the sender reaches the tasks as it is"
  }
  assert {
    condition     = length(module.bounces) == 1 && tolist(google_compute_firewall.bounces[0].source_ranges) == tolist(["10.20.0.0/24"]) && length(output.ssh) == 10
    error_message = "the receiver is a VM that the relays alone reach"
  }
  assert {
    condition     = length(google_compute_managed_ssl_certificate.site.name) <= 63
    error_message = "Google takes names of at most 63 characters"
  }
}
