# One Celery worker on a VM of its own, for one queue. It holds no state: a spot VM may be taken away at any time, and comes back.

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
  health          = { port = 8793, path = "/openapi.json" } # of the server of its tasks' logs
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
