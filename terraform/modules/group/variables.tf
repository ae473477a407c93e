variable "project" {
  description = "Google Cloud project id."
  type        = string
}

variable "name" {
  description = "Name of the VM, of its group and of its address."
  type        = string
}

variable "role" {
  description = "Role of the VM: a profile of docker/compose.yaml without state."
  type        = string

  validation {
    condition     = contains(["registry", "schema-registry", "airflow", "worker", "signing-worker", "site", "bounces"], var.role)
    error_message = "role must be a profile of docker/compose.yaml: registry, schema-registry, airflow, worker, signing-worker, site or bounces. A broker has state and is stopped by stop_kafka: use the module vm for it."
  }
}

variable "zone" {
  description = "Zone of the VM."
  type        = string
}

variable "machine_type" {
  description = "Compute Engine machine type."
  type        = string
}

variable "spot" {
  description = "Whether the VM is a spot VM, which Google may preempt at any time, for a much lower price."
  type        = bool
  default     = false
}

variable "health" {
  description = "Port and path of an HTTP endpoint that answers 200 as long as the role's process lives."
  type = object({
    port = number
    path = string
  })
}

variable "named_ports" {
  description = "Named ports of the group, for a load balancer: name → port."
  type        = map(number)
  default     = {}
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
