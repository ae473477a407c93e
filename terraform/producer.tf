# The VM that replays the dataset: a Celery worker of the queue producer.

module "producer" {
  source = "./modules/worker"

  queue           = "producer"
  service_account = google_service_account.role["producer"].email
  kafka_password  = google_secret_manager_secret.generated["kafka_producer_password"].id
  shared          = local.worker

  depends_on = [terraform_data.before_boot]
}
