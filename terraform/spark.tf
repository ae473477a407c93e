# Dataproc Serverless, for days that compact_lake compacts with Spark: its service account, its subnetwork, and the right
# to run batches. It costs nothing until a batch runs.

resource "google_service_account" "spark" {
  account_id   = "fraudstream-spark"
  display_name = "fraudstream: Spark batches of compact_lake"

  depends_on = [google_project_service.needed]
}

# Dataproc requires this role. The condition excludes all buckets except Dataproc's own.
resource "google_project_iam_member" "spark" {
  project = var.project
  role    = "roles/dataproc.worker"
  member  = google_service_account.spark.member

  condition {
    title      = "no bucket but Dataproc's own"
    expression = "!resource.type.startsWith(\"storage.googleapis.com/\") || resource.name.startsWith(\"projects/_/buckets/dataproc-\")"
  }
}

# Spark reads the day's JSON from the lake.
resource "google_storage_bucket_iam_member" "spark_reads" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.spark.member
}

# Spark writes the control totals of a job beside the job, and rows to the table (tables.tf).
resource "google_storage_bucket_iam_member" "spark_writes" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.spark.member

  condition {
    title      = "jobs"
    expression = "resource.name.startsWith(\"${local.objects_of_lake}/_spark/\")"
  }
}

resource "google_project_iam_custom_role" "run_batches" {
  role_id     = "fraudstreamRunBatches"
  title       = "fraudstream: run a Spark batch and see how it went"
  permissions = ["dataproc.batches.create", "dataproc.batches.get", "dataproc.operations.cancel", "dataproc.operations.get"]

  depends_on = [google_project_service.needed]
}

# Granted for the project, because batches have no IAM policy of their own.
resource "google_project_iam_member" "run_batches" {
  project = var.project
  role    = google_project_iam_custom_role.run_batches.id
  member  = google_service_account.role["airflow"].member
}

resource "google_service_account_iam_member" "airflow_runs_as_spark" {
  service_account_id = google_service_account.spark.name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.role["airflow"].member
}

# Spark's machines connect to each other on any port, so they have their own subnetwork.
resource "google_compute_subnetwork" "spark" {
  name                     = "fraudstream-spark"
  region                   = var.region
  network                  = google_compute_network.main.id
  ip_cidr_range            = "10.10.1.0/24"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "spark" {
  name               = "fraudstream-spark"
  network            = google_compute_network.main.id
  direction          = "INGRESS"
  source_ranges      = [google_compute_subnetwork.spark.ip_cidr_range]
  destination_ranges = [google_compute_subnetwork.spark.ip_cidr_range]

  allow {
    protocol = "tcp"
  }

  allow {
    protocol = "udp"
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}
