# The VM that reads fraud_transaction and fraud_confirmation: a Celery worker of the queue consumer_fraud.

module "consumer_fraud" {
  source = "./modules/worker"

  queue           = "consumer_fraud"
  service_account = google_service_account.role["consumer-fraud"].email
  kafka_password  = google_secret_manager_secret.generated["kafka_consumer_fraud_password"].id
  signing_keys    = google_secret_manager_secret.generated["confirmation_keys"].id
  bounce_keys     = var.bounces == null ? null : google_secret_manager_secret.generated["mail_bounce_keys"].id
  shared          = local.worker

  depends_on = [terraform_data.before_boot]
}
