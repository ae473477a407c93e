# One private subnetwork. Its VMs have no public addresses: outgoing traffic uses NAT, customers come in through the load
# balancer, operators through Identity-Aware Proxy. Firewall rules name service accounts, not addresses.

resource "google_compute_network" "main" {
  name                    = "fraudstream"
  auto_create_subnetworks = false

  depends_on = [google_project_service.needed]
}

resource "google_compute_subnetwork" "main" {
  name                     = "fraudstream"
  region                   = var.region
  network                  = google_compute_network.main.id
  ip_cidr_range            = "10.10.0.0/24"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_router" "main" {
  name    = "fraudstream"
  region  = var.region
  network = google_compute_network.main.id
}

resource "google_compute_router_nat" "main" {
  name                               = "fraudstream"
  region                             = var.region
  router                             = google_compute_router.main.name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.main.id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}

# Cloud SQL and Memorystore are in Google's network, which this peering connects.
resource "google_compute_global_address" "services" {
  name          = "fraudstream-services"
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
  network       = google_compute_network.main.id
}

resource "google_service_networking_connection" "services" {
  network                 = google_compute_network.main.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.services.name]
  # Cloud SQL blocks the deletion of the peering for days after its instance is deleted. It is deleted with the network.
  deletion_policy = "ABANDON"
}

locals {
  accounts = { for role, account in google_service_account.role : role => account.email }

  # name → accounts that may connect, accounts of the targets, and ports
  internal_rules = {
    kafka-clients = {
      from  = [for role in ["producer", "consumer-fraud", "consumer-non-fraud", "airflow", "site", "bounces", "registry"] : local.accounts[role]]
      to    = [local.accounts["kafka"]]
      ports = ["9092"]
    }
    kafka-brokers = {
      from  = [local.accounts["kafka"]]
      to    = [local.accounts["kafka"]]
      ports = ["9092", "9093", "9094"]
    }
    registry = {
      from  = [for role in ["producer", "consumer-fraud", "consumer-non-fraud", "airflow", "site", "bounces"] : local.accounts[role]]
      to    = [local.accounts["registry"]]
      ports = ["8081"]
    }
    airflow-api = {
      from  = [for role in ["producer", "consumer-fraud", "consumer-non-fraud"] : local.accounts[role]]
      to    = [local.accounts["airflow"]]
      ports = ["8080"]
    }
    airflow-worker-logs = {
      from  = [local.accounts["airflow"]]
      to    = [for role in ["producer", "consumer-fraud", "consumer-non-fraud"] : local.accounts[role]]
      ports = ["8793"]
    }
  }

  # name → port of the health check, and accounts of the targets
  health_rules = merge(
    {
      airflow  = { port = "8080", to = [local.accounts["airflow"]] }
      registry = { port = "8081", to = [local.accounts["registry"]] }
      workers  = { port = "8793", to = [for role in ["producer", "consumer-fraud", "consumer-non-fraud"] : local.accounts[role]] }
    },
    var.bounces == null ? {} : { bounces = { port = "8026", to = [local.accounts["bounces"]] } },
  )
}

resource "google_compute_firewall" "internal" {
  for_each = local.internal_rules

  name                    = "fraudstream-${each.key}"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_service_accounts = each.value.from
  target_service_accounts = each.value.to

  allow {
    protocol = "tcp"
    ports    = each.value.ports
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

# The address range of Identity-Aware Proxy. IAM decides who may use it (modules/vm, modules/group).
resource "google_compute_firewall" "iap_ssh" {
  name                    = "fraudstream-iap-ssh"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_ranges           = ["35.235.240.0/20"]
  target_service_accounts = values(local.accounts)

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "iap_pages" {
  name                    = "fraudstream-iap-pages"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_ranges           = ["35.235.240.0/20"]
  target_service_accounts = [local.accounts["airflow"], local.accounts["registry"]]

  allow {
    protocol = "tcp"
    ports    = ["8080", "9080"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# Lets the probes of the groups' health checks (modules/group) reach their port. The next rule covers those of the site.
resource "google_compute_firewall" "health_checks" {
  for_each = local.health_rules

  name                    = "fraudstream-health-${each.key}"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_ranges           = local.load_balancer_ranges
  target_service_accounts = each.value.to

  allow {
    protocol = "tcp"
    ports    = [each.value.port]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

# Lets Google's front ends and their health checks reach the site. All traffic of customers comes from them.
resource "google_compute_firewall" "load_balancer" {
  name                    = "fraudstream-load-balancer"
  network                 = google_compute_network.main.id
  direction               = "INGRESS"
  source_ranges           = local.load_balancer_ranges
  target_service_accounts = [local.accounts["site"]]

  allow {
    protocol = "tcp"
    ports    = ["8085", "8086"]
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}
