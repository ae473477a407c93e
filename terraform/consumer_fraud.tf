# The VM that reads fraud_transaction and fraud_confirmation: a Celery worker of the queue consumer_fraud. It holds no state.

module "consumer_fraud" {
  source = "./modules/vm"

  name            = "consumer-fraud"
  role            = "worker"
  zone            = var.zones[0]
  machine_type    = local.sized.worker
  spot            = !local.production
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["consumer-fraud"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = merge(local.task_environment, {
    WORKER_HOST                     = "consumer-fraud"
    WORKER_QUEUE                    = "consumer_fraud"
    FRAUDSTREAM_KAFKA_SASL_USERNAME = "consumer_fraud"
  })

  secrets = merge(local.task_secrets, {
    kafka_sasl_password = google_secret_manager_secret.generated["kafka_consumer_fraud_password"].id
  })

  depends_on = [google_secret_manager_secret_version.generated, google_secret_manager_secret_version.smtp]
}
