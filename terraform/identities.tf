# One service account for each role. Grants on a bucket, a secret or a VM are in the file of that resource. This file has
# the grants that exist only for a project: writing logs and metrics, and reading the state of operations.

locals {
  roles = {
    kafka              = "Kafka brokers"
    registry           = "schema registry and Kafka UI"
    airflow            = "Airflow API server, scheduler, DAG processor, triggerers and the default queue"
    producer           = "Celery worker of the queue producer"
    consumer-fraud     = "Celery worker of the queue consumer_fraud"
    consumer-non-fraud = "Celery worker of the queue consumer_non_fraud"
    site               = "confirmation site"
    bounces            = "receiver of returned mails"
  }
}

resource "google_service_account" "role" {
  for_each = local.roles

  account_id   = "fraudstream-${each.key}"
  display_name = "fraudstream: ${each.value}"

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "logs" {
  for_each = google_service_account.role

  project = var.project
  role    = "roles/logging.logWriter"
  member  = each.value.member
}

resource "google_project_iam_member" "metrics" {
  for_each = google_service_account.role

  project = var.project
  role    = "roles/monitoring.metricWriter"
  member  = each.value.member
}

# OS Login requires this role for logging in to a VM that runs as a service account.
resource "google_service_account_iam_member" "operators" {
  for_each = {
    for pair in setproduct(keys(local.roles), var.operators) : "${pair[0]} ${pair[1]}" => { role = pair[0], member = pair[1] }
  }

  service_account_id = google_service_account.role[each.value.role].name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}

# The role of start_kafka and stop_kafka. It is granted on the brokers' VMs only (kafka.tf).
resource "google_project_iam_custom_role" "start_and_stop" {
  role_id     = "fraudstreamStartAndStop"
  title       = "fraudstream: start and stop a VM"
  permissions = ["compute.instances.get", "compute.instances.start", "compute.instances.stop"]

  depends_on = [google_project_service.needed]
}

# Starting and stopping are operations of a zone; the right to read them can only be granted for the project.
resource "google_project_iam_custom_role" "watch_operations" {
  role_id     = "fraudstreamWatchOperations"
  title       = "fraudstream: see how a zone's operation went"
  permissions = ["compute.zoneOperations.get"]

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "watch_operations" {
  project = var.project
  role    = google_project_iam_custom_role.watch_operations.id
  member  = google_service_account.role["airflow"].member
}

# What must exist before a VM boots: grants, NAT, and secrets with a value. Grants take a while to become effective, so
# the boot also retries (modules/vm/startup.sh, docker/vm/boot.py).
resource "terraform_data" "before_boot" {
  lifecycle {
    precondition {
      condition     = var.images != null
      error_message = "images is not set: build and push them with docker/publish.sh, which prints them for terraform/images.auto.tfvars (docs/deploy.md)."
    }
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.readers,
    google_compute_router_nat.main,
    google_privateca_ca_pool_iam_member.brokers,
    google_privateca_certificate_authority.kafka,
    google_project_iam_member.logs,
    google_project_iam_member.metrics,
    google_secret_manager_secret_iam_member.reader,
    google_secret_manager_secret_version.airflow_database,
    google_secret_manager_secret_version.ca,
    google_secret_manager_secret_version.celery_database,
    google_secret_manager_secret_version.customer_database,
    google_secret_manager_secret_version.generated,
    google_secret_manager_secret_version.login,
    google_secret_manager_secret_version.redis,
    google_secret_manager_secret_version.redis_ca,
    google_secret_manager_secret_version.registry_database,
    google_secret_manager_secret_version.smtp,
    google_storage_bucket_iam_member.release,
    google_storage_bucket_iam_member.task_logs,
  ]
}
