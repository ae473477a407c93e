# The receiver of returned mails, if `bounces` is set: a VM behind the bank's own mail server. That server is reachable
# from the internet and routes the return addresses to the output bounces_route (docs/mail.md).

module "bounces" {
  source = "./modules/group"
  count  = var.bounces == null ? 0 : 1

  project         = var.project
  name            = "bounces"
  role            = "bounces"
  zone            = var.zones[0]
  machine_type    = local.sized.site
  health          = { port = 8026, path = "/health/live" }
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["bounces"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = merge(local.client_environment, {
    AIRFLOW_IMAGE                    = try(var.images.airflow, "")
    FRAUDSTREAM_KAFKA_SASL_USERNAME  = "bounces"
    FRAUDSTREAM_MAIL_SENDER          = var.smtp.sender
    FRAUDSTREAM_MAIL_ENVELOPE_SENDER = var.bounces.envelope_sender
  })

  secrets = {
    "kafka_ca.pem"      = google_secret_manager_secret.ca.id
    kafka_sasl_password = google_secret_manager_secret.generated["kafka_bounces_password"].id
    mail_bounce_keys    = google_secret_manager_secret.generated["mail_bounce_keys"].id
    mail_webhook_keys   = google_secret_manager_secret.generated["mail_webhook_keys"].id
  }

  depends_on = [terraform_data.before_boot]
}

resource "google_compute_firewall" "bounces" {
  count = var.bounces == null ? 0 : 1

  name                    = "fraudstream-bounces"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_ranges           = var.bounces.relays
  target_service_accounts = [local.accounts["bounces"]]

  allow {
    protocol = "tcp"
    ports    = ["8026", "10025"]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}
