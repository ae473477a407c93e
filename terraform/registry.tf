# Schema registry, Kafka UI and lag exporter on one VM. The registry stores its schemas in the database (airflow.tf), so
# the VM holds no state. UI and exporter log in to Kafka as the read-only user monitor.

module "registry" {
  source = "./modules/group"

  project         = var.project
  name            = "registry"
  role            = local.own_kafka ? "registry" : "schema-registry" # UI and exporter only support SCRAM
  zone            = var.zones[0]
  machine_type    = local.sized.registry
  health          = { port = 8081, path = "/apis/registry/v2/system/info" } # /health/live would also check the database
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["registry"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = {
    DATABASE_HOST           = google_sql_database_instance.airflow.private_ip_address
    KAFKA_BOOTSTRAP_SERVERS = local.bootstrap_servers
  }

  secrets = {
    "kafka_ca.pem"    = google_secret_manager_secret.ca.id
    kafka_password    = google_secret_manager_secret.generated["kafka_monitor_password"].id
    kafka_ui_password = google_secret_manager_secret.generated["kafka_ui_password"].id
    registry_password = google_secret_manager_secret.generated["registry_password"].id
  }

  depends_on = [terraform_data.before_boot]
}
