variable "project" {
  description = "Google Cloud project id."
  type        = string
}

variable "name" {
  description = "Name of the VM, of its group and of its address."
  type        = string
}

variable "role" {
  description = "What the VM runs: a profile of docker/compose.yaml without state."
  type        = string

  validation {
    condition     = contains(["registry", "schema-registry", "airflow", "worker", "signing-worker", "site", "bounces"], var.role)
    error_message = "role must be a profile of docker/compose.yaml: registry, schema-registry, airflow, worker, signing-worker, site or bounces. A broker holds state and is stopped by stop_kafka: it has the module vm."
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
  description = "Whether the VM may be taken away by Google at any time, for a much lower price."
  type        = bool
  default     = false
}

variable "health" {
  description = "Port and path where the role answers 200 over HTTP as long as its process lives."
  type = object({
    port = number
    path = string
  })
}

variable "named_ports" {
  description = "Ports that a load balancer knows by name."
  type        = map(number)
  default     = {}
}

variable "subnetwork" {
  description = "Subnetwork the VM is in; it gets no public address."
  type        = string
}

variable "service_account" {
  description = "E-mail of the role's service account; what the VM may do is what this account is granted."
  type        = string
}

variable "operators" {
  description = "IAM members who may log in to the VM through Identity-Aware Proxy."
  type        = list(string)
}

variable "public_key" {
  description = "SSH public key for the user fraudstream; empty: OS Login alone decides who logs in."
  type        = string
}

variable "image" {
  description = "Image of the boot disk."
  type        = string
}

variable "release" {
  description = "bucket/object of the release bundle that the VM fetches at each boot."
  type        = string
}

variable "environment" {
  description = "What docker/compose.yaml and the settings get; nothing in it is secret, since metadata isn't."
  type        = map(string)
}

variable "secrets" {
  description = "File name → Secret Manager secret whose newest version the VM writes there, in memory, at each boot."
  type        = map(string)
}

variable "labels" {
  description = "Labels of everything that takes labels."
  type        = map(string)
}
