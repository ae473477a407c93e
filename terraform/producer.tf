# The VM that replays the dataset: a Celery worker of the queue producer. It holds no state.

module "producer" {
  source = "./modules/vm"

  name            = "producer"
  role            = "worker"
  zone            = var.zones[0]
  machine_type    = local.sized.worker
  spot            = !local.production
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["producer"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = merge(local.task_environment, {
    WORKER_HOST                     = "producer"
    WORKER_QUEUE                    = "producer"
    FRAUDSTREAM_KAFKA_SASL_USERNAME = "producer"
  })

  secrets = merge(local.task_secrets, {
    kafka_sasl_password = google_secret_manager_secret.generated["kafka_producer_password"].id
  })

  depends_on = [google_secret_manager_secret_version.generated, google_secret_manager_secret_version.smtp]
}
