# The release bundle: docker/ of this checkout as one object, which each VM downloads at boot. The code is in the images.

data "archive_file" "release" {
  type        = "zip"
  source_dir  = "${path.module}/../docker"
  output_path = "${path.module}/.terraform/release.zip"
  excludes    = ["**/__pycache__/**", "**/*.pyc", "local/**", ".env"]
}

resource "google_storage_bucket" "release" {
  # checkov:skip=CKV_GCP_62:Reads of the release bundle are in Cloud Audit Logs; it holds published code, no data.
  name                        = "${var.project}-fraudstream-release"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !local.production
  labels                      = local.labels

  versioning {
    enabled = true
  }

  depends_on = [google_project_service.needed]
}

resource "google_storage_bucket_object" "release" {
  # Each release has its own name, so a VM that boots during an upload gets either the old or the new release completely.
  name   = "release-${substr(data.archive_file.release.output_sha256, 0, 16)}.zip"
  bucket = google_storage_bucket.release.name
  source = data.archive_file.release.output_path

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_storage_bucket_iam_member" "release" {
  for_each = google_service_account.role

  bucket = google_storage_bucket.release.name
  role   = "roles/storage.objectViewer"
  member = each.value.member
}
