# One VM in a managed instance group of its own, which makes it anew with the same name and address when it is deleted,
# taken by Google, broken, or unhealthy for ten minutes. It holds no state: its boot disk is a new one each time.

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))

  # How IAM conditions call the VM.
  condition = "resource.type == \"compute.googleapis.com/Instance\" && resource.name.endsWith(\"/zones/${var.zone}/instances/${var.name}\")"
}

resource "google_compute_address" "private" {
  name         = var.name
  region       = local.region
  address_type = "INTERNAL"
  subnetwork   = var.subnetwork
  labels       = var.labels
}

# The machine. What it runs stands in the per-instance config below, which can change while the VM runs.
resource "google_compute_instance_template" "vm" {
  name_prefix  = "${var.name}-"
  machine_type = var.machine_type
  labels       = var.labels

  disk {
    source_image = var.image
    disk_size_gb = 30
    disk_type    = "pd-balanced"
    boot         = true
    auto_delete  = true
    labels       = var.labels
  }

  network_interface {
    subnetwork = var.subnetwork
  }

  service_account {
    email = var.service_account
    # The account's grants decide; scopes only take away, and are Google's older mechanism.
    scopes = ["cloud-platform"]
  }

  scheduling {
    provisioning_model          = var.spot ? "SPOT" : "STANDARD"
    preemptible                 = var.spot
    automatic_restart           = !var.spot
    on_host_maintenance         = var.spot ? "TERMINATE" : "MIGRATE"
    instance_termination_action = var.spot ? "STOP" : null
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    block-project-ssh-keys = "TRUE"
    enable-oslogin         = var.public_key == "" ? "TRUE" : "FALSE"
    ssh-keys               = var.public_key == "" ? "" : "fraudstream:${var.public_key}"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Liveness, not readiness: a new VM doesn't bring back Kafka or the database. Within these ten minutes the VM restarts
# unhealthy containers by itself (docker/vm/upkeep.py), or comes back from a reboot.
resource "google_compute_health_check" "vm" {
  name                = "fraudstream-${var.name}"
  check_interval_sec  = 60
  timeout_sec         = 10
  healthy_threshold   = 1
  unhealthy_threshold = 10

  http_health_check {
    port         = var.health.port
    request_path = var.health.path
  }

  log_config {
    enable = true
  }
}

resource "google_compute_instance_group_manager" "vm" {
  name               = var.name
  zone               = var.zone
  base_instance_name = var.name
  # No target_size: the group begins empty, and the per-instance config adds the VM to it.

  version {
    instance_template = google_compute_instance_template.vm.id
  }

  dynamic "named_port" {
    for_each = var.named_ports
    content {
      name = named_port.key
      port = named_port.value
    }
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.vm.id
    initial_delay_sec = 1800 # a first boot installs packages and pulls images
  }

  instance_lifecycle_policy {
    default_action_on_failure = "REPAIR"
    force_update_on_repair    = "YES"
  }

  # Another machine type: the VM is replaced by itself, under its name.
  update_policy {
    type                           = "PROACTIVE"
    minimal_action                 = "REFRESH"
    most_disruptive_allowed_action = "REPLACE"
    replacement_method             = "RECREATE"
    max_surge_fixed                = 0
    max_unavailable_fixed          = 1
  }

  # Terraform then takes a group out of the load balancer before it deletes it: Google deletes none that is in use.
  lifecycle {
    create_before_destroy = true
  }
}

# Its name is the VM's name, and it keeps address and metadata through every replacement.
resource "google_compute_per_instance_config" "vm" {
  name                   = var.name
  zone                   = var.zone
  instance_group_manager = google_compute_instance_group_manager.vm.name
  # A release changes the metadata and restarts nothing; it is rolled out by a reboot.
  most_disruptive_allowed_action = "REFRESH"

  preserved_state {
    metadata = {
      fraudstream-role        = var.role
      fraudstream-release     = var.release
      fraudstream-environment = join("\n", [for name, value in var.environment : "${name}=${value}"])
      fraudstream-secrets     = jsonencode(var.secrets)
      startup-script          = file("${path.module}/../vm/startup.sh")
    }

    internal_ip {
      interface_name = "nic0"
      auto_delete    = "NEVER"
      ip_address {
        address = google_compute_address.private.self_link # as the API returns it; an id would differ in each plan
      }
    }
  }
}

# Grants on the VM itself would go with it when it is replaced. These are bound to its address and its name.
resource "google_iap_tunnel_iam_member" "operators" {
  for_each = toset(var.operators)

  role   = "roles/iap.tunnelResourceAccessor"
  member = each.value

  condition {
    title      = "VM ${var.name}"
    expression = "destination.ip == \"${google_compute_address.private.address}\""
  }
}

resource "google_project_iam_member" "operators" {
  for_each = toset(var.operators)

  project = var.project
  role    = "roles/compute.osAdminLogin"
  member  = each.value

  condition {
    title      = "VM ${var.name}"
    expression = local.condition
  }
}
