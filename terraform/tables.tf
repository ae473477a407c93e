# The lake's Iceberg tables: who may use BigLake's REST catalog, and the files of the tables in the lake's bucket.
# The catalog itself is made once: gcloud biglake iceberg catalogs create BUCKET --catalog-type=gcs-bucket

locals {
  # As fraudstream names its namespace: the bucket with _ for what SQL would want quoted. Tables lie below it.
  table_files = "${local.objects_of_lake}/${replace(google_storage_bucket.lake.name, "-", "_")}/"
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

# A consumer whose progress is lost goes on after the rows of the table.
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
