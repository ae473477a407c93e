# The certificate authority for the brokers' TLS. A broker creates its key at boot and requests a certificate for it, so
# its private key never leaves the VM.

resource "google_privateca_ca_pool" "kafka" {
  count = local.own_kafka ? 1 : 0

  name     = "fraudstream-kafka"
  location = var.region
  tier     = "DEVOPS"
  labels   = local.labels

  issuance_policy {
    maximum_lifetime = "31536000s"

    allowed_issuance_modes {
      allow_csr_based_issuance    = true
      allow_config_based_issuance = false
    }

    identity_constraints {
      allow_subject_passthrough           = true
      allow_subject_alt_names_passthrough = true

      cel_expression {
        title      = "the brokers' own names"
        expression = "subject_alt_names.all(san, san.type == DNS && san.value in [${join(", ", [for host in values(local.broker_hosts) : "\"${host}\""])}])"
      }
    }

    baseline_values {
      ca_options {
        is_ca = false
      }
      key_usage {
        base_key_usage {
          digital_signature = true
          key_encipherment  = true
        }
        extended_key_usage {
          server_auth = true
          client_auth = true
        }
      }
    }
  }

  depends_on = [google_project_service.needed]
}

resource "google_privateca_certificate_authority" "kafka" {
  count = local.own_kafka ? 1 : 0

  certificate_authority_id               = "fraudstream-kafka"
  pool                                   = google_privateca_ca_pool.kafka[0].name
  location                               = var.region
  type                                   = "SELF_SIGNED"
  lifetime                               = "315360000s"
  deletion_protection                    = local.production
  ignore_active_certificates_on_deletion = true
  skip_grace_period                      = !local.production
  labels                                 = local.labels

  config {
    subject_config {
      subject {
        common_name  = "fraudstream Kafka"
        organization = "fraudstream"
      }
    }
    x509_config {
      ca_options {
        is_ca = true
      }
      key_usage {
        base_key_usage {
          cert_sign = true
          crl_sign  = true
        }
        extended_key_usage {}
      }
    }
  }

  key_spec {
    algorithm = "EC_P256_SHA256"
  }
}

resource "google_privateca_ca_pool_iam_member" "brokers" {
  count = local.own_kafka ? 1 : 0

  ca_pool = google_privateca_ca_pool.kafka[0].id
  role    = "roles/privateca.certificateRequester"
  member  = google_service_account.role["kafka"].member
}
