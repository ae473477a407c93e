variable "name" {
  description = "Name of the VM and of its address."
  type        = string
}

variable "zone" {
  description = "Zone of the VM and of its disks."
  type        = string
}

variable "machine_type" {
  description = "Compute Engine machine type."
  type        = string
}

variable "protected" {
  description = "Whether the VM has deletion protection."
  type        = bool
}

variable "data_disk_name" {
  description = "Name of the data disk."
  type        = string
}

variable "data_disk_gb" {
  description = "Size of the data disk, in GB."
  type        = number
}

variable "data_disk_type" {
  description = "Type of the data disk: pd-standard, pd-balanced or pd-ssd."
  type        = string
}

variable "snapshot_policy" {
  description = "Name of the resource policy that takes snapshots of the data disk."
  type        = string
}

variable "subnetwork" {
  description = "Subnetwork of the VM; the VM gets no public address."
  type        = string
}

variable "service_account" {
  description = "E-mail of the role's service account; the VM has the rights of this account."
  type        = string
}

variable "operators" {
  description = "IAM members who may log in to the VM through Identity-Aware Proxy."
  type        = list(string)
}

variable "public_key" {
  description = "SSH public key for the user fraudstream; empty: only OS Login is used."
  type        = string
}

variable "image" {
  description = "Image of the boot disk."
  type        = string
}

variable "release" {
  description = "bucket/object of the release bundle that the VM downloads at each boot."
  type        = string
}

variable "environment" {
  description = "Variables for docker/compose.yaml and the settings. They must not be secret, because metadata isn't."
  type        = map(string)
}

variable "secrets" {
  description = "File name → Secret Manager secret. At each boot the VM writes the secret's newest version to this file, in memory."
  type        = map(string)
}

variable "labels" {
  description = "Labels of all resources that support labels."
  type        = map(string)
}
