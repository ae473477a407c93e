# One Celery worker for one queue, on its own VM. It holds no state, so it can be a spot VM: Google may preempt it at any
# time, and its group recreates it.

locals {
  name = replace(var.queue, "_", "-")
}

module "vm" {
  source = "../group"

  project         = var.shared.project
  name            = local.name
  role            = var.signing_keys == null ? "worker" : "signing-worker"
  zone            = var.shared.zone
  machine_type    = var.shared.machine_type
  spot            = var.shared.spot
  health          = { port = 8793, path = "/openapi.json" } # served by the worker's log server
  subnetwork      = var.shared.subnetwork
  service_account = var.service_account
  operators       = var.shared.operators
  public_key      = var.shared.public_key
  image           = var.shared.image
  labels          = var.shared.labels
  release         = var.shared.release

  environment = merge(var.shared.environment, {
    WORKER_HOST                     = local.name
    WORKER_QUEUE                    = var.queue
    FRAUDSTREAM_KAFKA_SASL_USERNAME = var.queue
  })

  secrets = merge(
    var.shared.secrets,
    { kafka_sasl_password = var.kafka_password },
    var.signing_keys == null ? {} : { confirmation_keys = var.signing_keys },
    var.bounce_keys == null ? {} : { mail_bounce_keys = var.bounce_keys },
  )
}
