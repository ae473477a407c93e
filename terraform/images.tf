# The repository for the project's images. docker/publish.sh builds and pushes them; VMs pull them by digest.

resource "google_artifact_registry_repository" "images" {
  # checkov:skip=CKV_GCP_84:Google encrypts every image; with a key of our own, losing the key would stop every boot.
  repository_id = "fraudstream"
  location      = var.region
  format        = "DOCKER"
  description   = "fraudstream: images airflow and site"
  labels        = local.labels

  docker_config {
    immutable_tags = true
  }

  depends_on = [google_project_service.needed]
}

resource "google_artifact_registry_repository_iam_member" "readers" {
  for_each = google_service_account.role

  repository = google_artifact_registry_repository.images.id
  role       = "roles/artifactregistry.reader"
  member     = each.value.member
}
