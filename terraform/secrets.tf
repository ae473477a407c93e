# Secrets are generated as ephemeral values and written to Secret Manager by write-only arguments, so that neither state
# nor plan contain them. VMs read them at boot into files in memory. A higher secrets_version generates a group anew.

locals {
  # Kafka users that log in with SCRAM; docker/kafka/access.sh creates them on the brokers.
  kafka_users = ["producer", "consumer_fraud", "consumer_non_fraud", "airflow", "site", "bounces", "monitor", "operator"]

  # secret → its group in secrets_version, and the roles whose VMs read it
  generated_secrets = merge(
    local.own_logins ? {} : { airflow_admin_password = { group = "airflow", readers = ["airflow"] } },
    {
      airflow_fernet_key    = { group = "airflow", readers = ["airflow"] }
      airflow_jwt_secret    = { group = "airflow", readers = ["airflow"] }
      airflow_secret_key    = { group = "airflow", readers = local.task_roles }
      celery_password       = { group = "database", readers = local.task_roles }
      confirmation_keys     = { group = "confirmation", readers = ["consumer-fraud", "site"] }
      database_password     = { group = "database", readers = ["airflow"] }
      mail_bounce_keys      = { group = "bounces", readers = ["consumer-fraud", "consumer-non-fraud", "bounces"] }
      mail_webhook_keys     = { group = "bounces", readers = ["bounces"] }
      registry_password     = { group = "database", readers = ["registry"] }
      kafka_ui_password     = { group = "kafka", readers = ["registry"] }
      kafka_broker_password = { group = "kafka", readers = ["kafka"] }
    },
    {
      for user in local.kafka_users : "kafka_${user}_password" => {
        # The operator is a person, who reads the secret with the rights of their own account.
        group   = "kafka"
        readers = concat(["kafka"], user == "operator" ? [] : [user == "monitor" ? "registry" : replace(user, "_", "-")])
      }
    },
  )

  task_roles = ["airflow", "producer", "consumer-fraud", "consumer-non-fraud"]

  # Secrets whose value comes from elsewhere.
  other_readers = {
    smtp     = { secret = google_secret_manager_secret.smtp.id, readers = local.task_roles }
    customer = { secret = google_secret_manager_secret.customer_database.id, readers = local.task_roles }
    redis    = { secret = google_secret_manager_secret.redis.id, readers = local.task_roles }
    redis_ca = { secret = google_secret_manager_secret.redis_ca.id, readers = local.task_roles }
    ca       = { secret = google_secret_manager_secret.ca.id, readers = keys(local.roles) }
    login    = { secret = one(google_secret_manager_secret.login[*].id), readers = local.own_logins ? ["airflow"] : [] }
  }

  secret_readers = merge(
    merge([
      for name, secret in local.generated_secrets : {
        for role in secret.readers : "${name} ${role}" => { secret = google_secret_manager_secret.generated[name].id, role = role }
      }
    ]...),
    merge([
      for name, other in local.other_readers : {
        for role in other.readers : "${name} ${role}" => { secret = other.secret, role = role }
      }
    ]...),
  )
}

ephemeral "random_password" "generated" {
  for_each = local.generated_secrets

  length  = 32
  special = false # the passwords are parts of URLs and property files
}

resource "google_secret_manager_secret" "generated" {
  for_each = local.generated_secrets

  secret_id = "fraudstream-${replace(each.key, "_", "-")}"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "generated" {
  for_each = { for name, secret in local.generated_secrets : name => secret if secret.group != "database" }

  secret = google_secret_manager_secret.generated[each.key].id
  # A Fernet key is 32 bytes in URL-safe Base64. 32 letters and digits are 32 bytes with 190 bits of entropy.
  secret_data_wo = (
    each.key == "airflow_fernet_key"
    ? replace(replace(base64encode(ephemeral.random_password.generated[each.key].result), "+", "-"), "/", "_")
    : ephemeral.random_password.generated[each.key].result
  )
  secret_data_wo_version = var.secrets_version[each.value.group]
  # An older version stays readable until an operator disables it.
  deletion_policy = "ABANDON"
}

# The databases' passwords are written after their users, and again whenever a user is created or changed. Each apply
# generates new values, so otherwise a user created by a second apply would have another password than the secret.
resource "google_secret_manager_secret_version" "airflow_database" {
  secret                 = google_secret_manager_secret.generated["database_password"].id
  secret_data_wo         = ephemeral.random_password.generated["database_password"].result
  secret_data_wo_version = var.secrets_version.database
  deletion_policy        = "ABANDON"

  lifecycle {
    replace_triggered_by = [google_sql_user.airflow]
  }
}

resource "google_secret_manager_secret_version" "celery_database" {
  secret                 = google_secret_manager_secret.generated["celery_password"].id
  secret_data_wo         = ephemeral.random_password.generated["celery_password"].result
  secret_data_wo_version = var.secrets_version.database
  deletion_policy        = "ABANDON"

  lifecycle {
    replace_triggered_by = [google_sql_user.celery]
  }
}

resource "google_secret_manager_secret_version" "registry_database" {
  secret                 = google_secret_manager_secret.generated["registry_password"].id
  secret_data_wo         = ephemeral.random_password.generated["registry_password"].result
  secret_data_wo_version = var.secrets_version.database
  deletion_policy        = "ABANDON"

  lifecycle {
    replace_triggered_by = [google_sql_user.registry]
  }
}

resource "google_secret_manager_secret" "smtp" {
  secret_id = "fraudstream-smtp-password"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "smtp" {
  secret                 = google_secret_manager_secret.smtp.id
  secret_data_wo         = var.smtp_password
  secret_data_wo_version = var.secrets_version.smtp
  deletion_policy        = "ABANDON"
}

resource "google_secret_manager_secret" "customer_database" {
  secret_id = "fraudstream-customer-database-uri"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "customer_database" {
  secret                 = google_secret_manager_secret.customer_database.id
  secret_data_wo         = var.customer_database_uri
  secret_data_wo_version = var.secrets_version.customer_database
  deletion_policy        = "ABANDON"
}

resource "google_secret_manager_secret" "redis" {
  secret_id = "fraudstream-redis-password"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

# Memorystore generates its own password, so the state contains this one. Redis is reachable only in the private network.
resource "google_secret_manager_secret_version" "redis" {
  secret      = google_secret_manager_secret.redis.id
  secret_data = google_redis_instance.celery.auth_string
}

# The certificates of the two authorities are public. They are stored as secrets so that VMs get all files the same way.
resource "google_secret_manager_secret" "redis_ca" {
  secret_id = "fraudstream-redis-ca"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "redis_ca" {
  secret      = google_secret_manager_secret.redis_ca.id
  secret_data = join("\n", google_redis_instance.celery.server_ca_certs[*].cert)
}

resource "google_secret_manager_secret" "ca" {
  secret_id = "fraudstream-kafka-ca"
  labels    = local.labels

  replication {
    auto {}
  }

  depends_on = [google_project_service.needed]
}

resource "google_secret_manager_secret_version" "ca" {
  secret = google_secret_manager_secret.ca.id
  # With managed Kafka the file isn't used, but Compose mounts it, so it must exist.
  secret_data = local.own_kafka ? join("\n", google_privateca_certificate_authority.kafka[0].pem_ca_certificates) : "none"
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each = local.secret_readers

  secret_id = each.value.secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.role[each.value.role].member
}
