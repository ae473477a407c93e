# One VM in its own managed instance group. The group recreates the VM with the same name and address if it is deleted,
# preempted, broken, or unhealthy for ten minutes. The VM holds no state: it gets a new boot disk each time.

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))

  # IAM condition that is true for the VM.
  condition = "resource.type == \"compute.googleapis.com/Instance\" && resource.name.endsWith(\"/zones/${var.zone}/instances/${var.name}\")"
}

resource "google_compute_address" "private" {
  name         = var.name
  region       = local.region
  address_type = "INTERNAL"
  subnetwork   = var.subnetwork
  labels       = var.labels
}

# The machine. Role, release and settings are in the per-instance config below, which can change while the VM runs.
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

# It checks liveness, not readiness: a new VM wouldn't help if Kafka or the database is down. Ten minutes are enough for
# the VM to restart unhealthy containers itself (docker/vm/upkeep.py), or to reboot.
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
  # No target_size: the group is created empty, and the per-instance config adds the VM.

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

  # If the machine type changes, the VM is replaced automatically and keeps its name.
  update_policy {
    type                           = "PROACTIVE"
    minimal_action                 = "REFRESH"
    most_disruptive_allowed_action = "REPLACE"
    replacement_method             = "RECREATE"
    max_surge_fixed                = 0
    max_unavailable_fixed          = 1
  }

  # With this Terraform removes a group from the load balancer before deleting it; Google refuses to delete a used group.
  lifecycle {
    create_before_destroy = true
  }
}

# Its name is the VM's name. The VM keeps address and metadata when it is replaced.
resource "google_compute_per_instance_config" "vm" {
  name                   = var.name
  zone                   = var.zone
  instance_group_manager = google_compute_instance_group_manager.vm.name
  # A release only changes the metadata and doesn't restart the VM; a reboot rolls it out.
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

# Grants on the VM itself would be lost when it is replaced. These grants have conditions on its address and its name.
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
