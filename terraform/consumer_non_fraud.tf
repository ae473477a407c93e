# The VM that reads non_fraud_transaction: a Celery worker of the queue consumer_non_fraud.

module "consumer_non_fraud" {
  source = "./modules/worker"

  queue           = "consumer_non_fraud"
  service_account = google_service_account.role["consumer-non-fraud"].email
  kafka_password  = google_secret_manager_secret.generated["kafka_consumer_non_fraud_password"].id
  bounce_keys     = var.bounces == null ? null : google_secret_manager_secret.generated["mail_bounce_keys"].id
  shared          = local.worker

  depends_on = [terraform_data.before_boot]
}
