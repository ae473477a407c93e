# A broker's VM with its data disk. Unlike all other VMs (../group) it isn't in an instance group, because a group would
# start it again after stop_kafka.

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))
}

resource "google_compute_address" "private" {
  name         = var.name
  region       = local.region
  address_type = "INTERNAL"
  subnetwork   = var.subnetwork
  labels       = var.labels
}

resource "google_compute_disk" "data" {
  # checkov:skip=CKV_GCP_37:Google encrypts every disk; with a key of our own, losing the key would lose the log.
  name   = var.data_disk_name
  zone   = var.zone
  type   = var.data_disk_type
  size   = var.data_disk_gb
  labels = var.labels

  # The disk has all data of the broker. Terraform refuses a plan that would replace it (another type, zone or name).
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_compute_disk_resource_policy_attachment" "snapshots" {
  name = var.snapshot_policy
  disk = google_compute_disk.data.name
  zone = var.zone
}

resource "google_compute_instance" "vm" {
  # checkov:skip=CKV_GCP_38:Google encrypts every disk; with a key of our own, losing the key would lose the log.
  name                      = var.name
  zone                      = var.zone
  machine_type              = var.machine_type
  labels                    = var.labels
  deletion_protection       = var.protected
  allow_stopping_for_update = true

  boot_disk {
    initialize_params {
      image = var.image
      size  = 30
      type  = "pd-balanced"
    }
  }

  attached_disk {
    source      = google_compute_disk.data.self_link
    device_name = "data"
  }

  network_interface {
    subnetwork = var.subnetwork
    network_ip = google_compute_address.private.address
  }

  service_account {
    email = var.service_account
    # The account's grants decide; scopes only take away, and are Google's older mechanism.
    scopes = ["cloud-platform"]
  }

  scheduling {
    automatic_restart   = true
    on_host_maintenance = "MIGRATE"
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    block-project-ssh-keys  = "TRUE"
    enable-oslogin          = var.public_key == "" ? "TRUE" : "FALSE"
    ssh-keys                = var.public_key == "" ? "" : "fraudstream:${var.public_key}"
    fraudstream-role        = "kafka"
    fraudstream-release     = var.release
    fraudstream-environment = join("\n", [for name, value in var.environment : "${name}=${value}"])
    fraudstream-secrets     = jsonencode(var.secrets)
    startup-script          = file("${path.module}/startup.sh")
  }

  lifecycle {
    # A newer image of the same family must not replace the VM; a reboot rolls out a release.
    ignore_changes = [boot_disk[0].initialize_params[0].image]
  }
}

resource "google_iap_tunnel_instance_iam_member" "operators" {
  for_each = toset(var.operators)

  zone     = var.zone
  instance = google_compute_instance.vm.name
  role     = "roles/iap.tunnelResourceAccessor"
  member   = each.value
}

resource "google_compute_instance_iam_member" "operators" {
  for_each = toset(var.operators)

  zone          = var.zone
  instance_name = google_compute_instance.vm.name
  role          = "roles/compute.osAdminLogin"
  member        = each.value
}
