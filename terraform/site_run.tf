# The confirmation site on Cloud Run instead of VMs, if `site` is cloud_run: the same image and settings behind the same
# load balancer (site.tf). It reaches the brokers and the registry through its own subnetwork.

locals {
  run_site = var.site == "cloud_run"

  # Firewall rules can't name the service account of a Cloud Run service, so they name the addresses of its subnetwork.
  run_targets = local.run_site ? merge(
    { registry = "8081" },
    local.own_kafka ? { kafka = "9092" } : {},
  ) : {}
}

resource "google_compute_subnetwork" "site" {
  count = local.run_site ? 1 : 0

  name                     = "fraudstream-site"
  region                   = var.region
  network                  = google_compute_network.main.id
  ip_cidr_range            = "10.10.2.0/24"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "site" {
  for_each = local.run_targets

  name                    = "fraudstream-site-${each.key}"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_ranges           = [google_compute_subnetwork.site[0].ip_cidr_range]
  target_service_accounts = [local.accounts[each.key]]

  allow {
    protocol = "tcp"
    ports    = [each.value]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_cloud_run_v2_service" "site" {
  count = local.run_site ? 1 : 0

  name                = "fraudstream-site"
  location            = var.region
  labels              = local.labels
  deletion_protection = local.production
  # Only the load balancer reaches the service, without authentication: customers have no login.
  ingress              = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  invoker_iam_disabled = true

  template {
    service_account = google_service_account.role["site"].email
    timeout         = "30s"
    # An instance reads secrets only when it starts, so changed secrets need a new revision.
    labels = { secrets = "${var.secrets_version.confirmation}-${var.secrets_version.kafka}" }

    # The site also reads the topics between requests, so instances must always run and have CPU.
    scaling {
      min_instance_count = local.production ? 2 : 1
      max_instance_count = local.production ? 4 : 2
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.main.id
        subnetwork = google_compute_subnetwork.site[0].id
      }
    }

    volumes {
      name = "kafka-ca"
      secret {
        secret = google_secret_manager_secret.ca.secret_id
        items {
          version = "latest"
          path    = "kafka_ca.pem"
        }
      }
    }

    containers {
      image = try(var.images.site, "")

      ports {
        container_port = 8085
      }

      resources {
        limits            = { cpu = "1", memory = "1Gi" }
        cpu_idle          = false
        startup_cpu_boost = true
      }

      # The site is ready when it has read all cases and answers from the topics.
      startup_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 24
        http_get {
          path = "/health/ready"
          port = 8086
        }
      }

      liveness_probe {
        period_seconds    = 15
        timeout_seconds   = 5
        failure_threshold = 4
        http_get {
          path = "/health/live"
          port = 8086
        }
      }

      volume_mounts {
        name       = "kafka-ca"
        mount_path = "/run/secrets"
      }

      dynamic "env" {
        for_each = merge(local.site_environment, {
          FRAUDSTREAM_CONFIRMATION_BIND        = "0.0.0.0:8085"
          FRAUDSTREAM_CONFIRMATION_HEALTH_BIND = "0.0.0.0:8086"
          # Requests reach the container from a link-local address.
          FRAUDSTREAM_CONFIRMATION_TRUSTED_PROXIES = "${local.site_environment.FRAUDSTREAM_CONFIRMATION_TRUSTED_PROXIES},169.254.0.0/16"
        })
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = {
          FRAUDSTREAM_CONFIRMATION_KEYS   = google_secret_manager_secret.generated["confirmation_keys"].secret_id
          FRAUDSTREAM_KAFKA_SASL_PASSWORD = google_secret_manager_secret.generated["kafka_site_password"].secret_id
        }
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value
              version = "latest"
            }
          }
        }
      }
    }
  }

  depends_on = [terraform_data.before_boot]
}

resource "google_compute_region_network_endpoint_group" "site" {
  count = local.run_site ? 1 : 0

  name                  = "fraudstream-site"
  region                = var.region
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = google_cloud_run_v2_service.site[0].name
  }
}
