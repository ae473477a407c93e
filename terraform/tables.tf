# The lake's Iceberg tables: BigLake's REST catalog, and the grants for it and for the tables' files in the lake's bucket.
# The containers get the catalog's address in pyiceberg's variables (locals.tf).

locals {
  lake_name = "${var.project}-fraudstream-lake"
  tables    = ["transaction", "fraud_confirmation", "email_confirmation", "case_event"]
  # fraudstream's namespace: the bucket's name with _ instead of -, which SQL would require to be quoted. It is also the
  # folder of the tables.
  namespace   = replace(local.lake_name, "-", "_")
  table_files = "${local.objects_of_lake}/${local.namespace}/"
}

# A catalog of this type has the name of its bucket. Its users also need grants on the bucket.
resource "google_biglake_iceberg_catalog" "lake" {
  name            = google_storage_bucket.lake.name
  catalog_type    = "CATALOG_TYPE_GCS_BUCKET"
  credential_mode = "CREDENTIAL_MODE_END_USER"

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "catalog_editor" {
  for_each = {
    airflow = google_service_account.role["airflow"].member
    spark   = google_service_account.spark.member
  }

  project = var.project
  role    = "roles/biglake.editor"
  member  = each.value

  depends_on = [google_project_service.needed]
}

# A consumer whose progress is lost reads the table to find the offset at which it continues.
resource "google_project_iam_member" "catalog_viewer" {
  for_each = local.consumer_folders

  project = var.project
  role    = "roles/biglake.viewer"
  member  = google_service_account.role[each.key].member

  depends_on = [google_project_service.needed]
}

resource "google_storage_bucket_iam_member" "spark_writes_tables" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.spark.member

  condition {
    title      = "tables"
    expression = "resource.name.startsWith(\"${local.table_files}\")"
  }
}

resource "google_storage_bucket_iam_member" "consumer_reads_tables" {
  for_each = local.consumer_folders

  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.role[each.key].member

  condition {
    title      = "tables"
    expression = "resource.name.startsWith(\"${local.table_files}\")"
  }
}

# Analysts query the tables in BigQuery by names of four parts (docs/lake.md). BigQuery reads this catalog directly, so
# there is no BigQuery dataset.
resource "google_project_iam_member" "analysts_catalog" {
  for_each = toset(var.analysts)

  project = var.project
  role    = "roles/biglake.viewer"
  member  = each.value

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "analysts_queries" {
  for_each = toset(var.analysts)

  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = each.value

  depends_on = [google_project_service.needed]
}

resource "google_storage_bucket_iam_member" "analysts" {
  for_each = toset(var.analysts)

  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = each.value

  condition {
    title      = "tables"
    expression = "resource.name.startsWith(\"${local.table_files}\")"
  }
}
