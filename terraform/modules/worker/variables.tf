variable "queue" {
  description = "Celery queue whose tasks the VM runs. It is also the VM's Kafka user and, with hyphens, its name."
  type        = string
}

variable "service_account" {
  description = "E-mail of the role's service account; the VM has the rights of this account."
  type        = string
}

variable "kafka_password" {
  description = "Secret Manager secret with the password of the role's Kafka user."
  type        = string
}

variable "signing_keys" {
  description = "Secret Manager secret with the keys that sign the links of fraud notices, for the worker that mails them; null: no keys."
  type        = string
  default     = null
}

variable "bounce_keys" {
  description = "Secret Manager secret with the keys that sign return addresses, for a worker that sends mails; null: addresses are not signed."
  type        = string
  default     = null
}

variable "shared" {
  description = "Arguments that all workers share; the names are those of the module group."
  type = object({
    project      = string
    zone         = string
    machine_type = string
    spot         = bool
    subnetwork   = string
    operators    = list(string)
    public_key   = string
    image        = string
    labels       = map(string)
    release      = string
    environment  = map(string)
    secrets      = map(string)
  })
}
