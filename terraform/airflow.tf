# Airflow's VM (API server, scheduler, DAG processor, two triggerers, the worker of the queue default), its database
# on Cloud SQL and Celery's broker on Memorystore. Both are reachable only from the private network.

resource "google_sql_database_instance" "airflow" {
  # checkov:skip=CKV2_GCP_13:log_duration would log every one of Airflow's statements, thousands a minute.
  # checkov:skip=CKV_GCP_6:ENCRYPTED_ONLY refuses plain connections; the check wants client certificates, whose keys would have to be handed out.
  name                = var.database_instance
  region              = var.region
  database_version    = "POSTGRES_18"
  deletion_protection = local.production

  settings {
    tier                        = local.sized.database.tier
    edition                     = "ENTERPRISE"
    availability_type           = local.sized.database.availability
    disk_size                   = local.sized.database.disk_gb
    disk_autoresize             = true
    deletion_protection_enabled = local.production
    user_labels                 = local.labels

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.main.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "02:00"
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = local.production ? 7 : 1

      backup_retention_settings {
        retained_backups = local.production ? 14 : 3
      }
    }

    maintenance_window {
      day  = 7
      hour = 3
    }

    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }

    database_flags {
      name  = "pgaudit.log"
      value = "ddl,role"
    }

    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }

    database_flags {
      name  = "log_connections"
      value = "on"
    }

    database_flags {
      name  = "log_disconnections"
      value = "on"
    }

    database_flags {
      name  = "log_hostname"
      value = "on"
    }

    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }

    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }

    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }

    database_flags {
      name  = "log_min_messages"
      value = "warning"
    }

    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
  }

  depends_on = [google_project_service.needed, google_service_networking_connection.services]
}

resource "google_sql_database" "airflow" {
  name            = "airflow"
  instance        = google_sql_database_instance.airflow.name
  deletion_policy = "ABANDON"
}

# Celery's task results have their own database: workers read and write it, and can't access Airflow's tables.
resource "google_sql_database" "celery" {
  name            = "celery"
  instance        = google_sql_database_instance.airflow.name
  deletion_policy = "ABANDON"
}

resource "google_sql_database" "registry" {
  name            = "registry"
  instance        = google_sql_database_instance.airflow.name
  deletion_policy = "ABANDON"
}

# One apply writes the same ephemeral value to the user and then to its secret (secrets.tf). If an apply fails between the
# two, raise secrets_version.database and apply again. ABANDON: users and databases are deleted with their instance,
# because a user that owns tables can't be dropped alone.
resource "google_sql_user" "airflow" {
  name                = "airflow"
  instance            = google_sql_database_instance.airflow.name
  password_wo         = ephemeral.random_password.generated["database_password"].result
  password_wo_version = var.secrets_version.database
  deletion_policy     = "ABANDON"
}

resource "google_sql_user" "celery" {
  name                = "celery"
  instance            = google_sql_database_instance.airflow.name
  password_wo         = ephemeral.random_password.generated["celery_password"].result
  password_wo_version = var.secrets_version.database
  deletion_policy     = "ABANDON"
}

resource "google_sql_user" "registry" {
  name                = "registry"
  instance            = google_sql_database_instance.airflow.name
  password_wo         = ephemeral.random_password.generated["registry_password"].result
  password_wo_version = var.secrets_version.database
  deletion_policy     = "ABANDON"
}

resource "google_redis_instance" "celery" {
  name                    = "fraudstream"
  region                  = var.region
  tier                    = local.sized.redis.tier
  memory_size_gb          = local.sized.redis.memory_gb
  redis_version           = "REDIS_7_2"
  authorized_network      = google_compute_network.main.id
  connect_mode            = "PRIVATE_SERVICE_ACCESS"
  auth_enabled            = true
  transit_encryption_mode = "SERVER_AUTHENTICATION"
  labels                  = local.labels

  # Celery's queues must never be evicted, or a task would be lost without an error.
  redis_configs = {
    maxmemory-policy = "noeviction"
  }

  depends_on = [google_project_service.needed, google_service_networking_connection.services]
}

module "airflow" {
  source = "./modules/group"

  project         = var.project
  name            = "airflow"
  role            = "airflow"
  zone            = var.zones[0]
  machine_type    = local.sized.airflow
  health          = { port = 8080, path = "/api/v2/version" }
  subnetwork      = google_compute_subnetwork.main.id
  service_account = google_service_account.role["airflow"].email
  operators       = var.operators
  public_key      = local.public_key
  image           = local.image
  labels          = local.labels
  release         = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"

  environment = merge(local.task_environment, {
    WORKER_QUEUE                    = "default"
    AIRFLOW_STATSD_ON               = "True" # for the alerts that alerts.tf makes from the rules in include/alerts
    FRAUDSTREAM_KAFKA_SASL_USERNAME = "airflow"
    FRAUDSTREAM_DESK_USERS          = join(",", var.desk_users)
    AIRFLOW_AUTH_MANAGER            = "airflow.${local.own_logins ? "providers.fab.auth_manager.fab_auth_manager.FabAuthManager" : "api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"}"
    FRAUDSTREAM_LOGIN_USERS         = local.own_logins ? jsonencode(var.airflow_login.users) : ""
    FRAUDSTREAM_LOGIN_CLIENT_ID     = local.own_logins ? var.airflow_login.client_id : ""
    airflow_admin_password          = "" # defaults of templates; a secret of the same name takes precedence
    login_client_secret             = ""
    # compact_lake runs in the queue default; its Spark batches run as their own service account (spark.tf).
    FRAUDSTREAM_LAKE_SPARK_MIB           = var.lake_spark_mib
    FRAUDSTREAM_DATAPROC_PROJECT         = var.project
    FRAUDSTREAM_DATAPROC_REGION          = var.region
    FRAUDSTREAM_DATAPROC_SERVICE_ACCOUNT = google_service_account.spark.email
    FRAUDSTREAM_DATAPROC_SUBNETWORK      = google_compute_subnetwork.spark.id
  })

  secrets = merge(local.task_secrets, local.login_secret, {
    airflow_fernet_key  = google_secret_manager_secret.generated["airflow_fernet_key"].id
    airflow_jwt_secret  = google_secret_manager_secret.generated["airflow_jwt_secret"].id
    database_password   = google_secret_manager_secret.generated["database_password"].id
    kafka_sasl_password = google_secret_manager_secret.generated["kafka_airflow_password"].id
  })

  depends_on = [terraform_data.before_boot]
}
