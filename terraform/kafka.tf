# Three brokers in three zones, each with its own data disk, a fixed node id and a fixed name.

resource "random_id" "kafka_cluster" {
  byte_length = 16 # a KRaft cluster id is 16 bytes in URL-safe Base64
}

# Snapshots allow a restore if all three replicas are damaged (docs/deploy.md, back-up and restore).
resource "google_compute_resource_policy" "snapshots" {
  name   = "fraudstream-kafka"
  region = var.region

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = 1
        start_time    = "03:00"
      }
    }
    retention_policy {
      max_retention_days    = local.production ? 14 : 3
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }
    snapshot_properties {
      labels = local.labels
    }
  }

  depends_on = [google_project_service.needed]
}

module "kafka" {
  source   = "./modules/vm"
  for_each = local.brokers

  name            = each.key
  zone            = each.value.zone
  machine_type    = local.sized.kafka
  protected       = local.production
  data_disk_name  = "${each.key}-data${var.kafka_disk.suffix}"
  data_disk_gb    = var.kafka_disk.gb
  data_disk_type  = var.kafka_disk.type
  snapshot_policy = google_compute_resource_policy.snapshots.name
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["kafka"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = {
    KAFKA_CLUSTER_ID    = random_id.kafka_cluster.b64_url
    KAFKA_NODE_ID       = each.value.node_id
    KAFKA_HOST          = local.broker_hosts[each.key]
    KAFKA_QUORUM_VOTERS = join(",", [for name, broker in local.brokers : "${broker.node_id}@${local.broker_hosts[name]}:9093"])
    KAFKA_HEAP          = local.production ? "-Xms4g -Xmx4g" : "-Xms1g -Xmx1g"
    KAFKA_MEMORY        = local.production ? "12g" : "3g"
    CA_POOL             = google_privateca_ca_pool.kafka[0].id
  }

  secrets = merge(
    {
      "kafka_ca.pem"        = google_secret_manager_secret.ca.id
      kafka_broker_password = google_secret_manager_secret.generated["kafka_broker_password"].id
    },
    {
      for user in local.kafka_users :
      "kafka_${user}_password" => google_secret_manager_secret.generated["kafka_${user}_password"].id
    },
  )

  depends_on = [terraform_data.before_boot]
}

# Lets start_kafka and stop_kafka start and stop these three VMs.
resource "google_compute_instance_iam_member" "start_and_stop" {
  for_each = module.kafka

  zone          = each.value.zone
  instance_name = each.value.name
  role          = google_project_iam_custom_role.start_and_stop.id
  member        = google_service_account.role["airflow"].member
}
