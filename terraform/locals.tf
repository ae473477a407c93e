# The sizes "trial" and "production", and values that several files use.

locals {
  production = var.size == "production"
  own_kafka  = var.kafka == "vms"

  sizes = {
    trial = {
      kafka    = "e2-medium"
      registry = "e2-medium"
      airflow  = "e2-standard-2"
      worker   = "e2-medium"
      site     = "e2-small"
      database = { tier = "db-g1-small", availability = "ZONAL", disk_gb = 10 }
      redis    = { tier = "BASIC", memory_gb = 1 }
    }
    production = {
      kafka    = "n2-standard-4"
      registry = "e2-standard-2"
      airflow  = "e2-standard-8"
      worker   = "e2-standard-4"
      site     = "e2-medium"
      database = { tier = "db-custom-2-8192", availability = "REGIONAL", disk_gb = 50 }
      redis    = { tier = "STANDARD_HA", memory_gb = 1 }
    }
  }
  sized = local.sizes[var.size]

  image      = "ubuntu-os-cloud/ubuntu-2404-lts-amd64"
  public_key = var.public_key_vm == "" ? "" : trimspace(file(pathexpand(var.public_key_vm)))
  labels     = { system = "fraudstream", size = var.size }

  # Brokers and hosts. Certificates and clients use Google's internal DNS names of the VMs.
  brokers           = { for index, zone in local.own_kafka ? var.zones : [] : "kafka-${index + 1}" => { node_id = index + 1, zone = zone } }
  broker_hosts      = { for name, broker in local.brokers : name => "${name}.${broker.zone}.c.${var.project}.internal" }
  bootstrap_servers = local.own_kafka ? join(",", [for host in values(local.broker_hosts) : "${host}:9092"]) : local.managed_bootstrap
  registry_host     = "registry.${var.zones[0]}.c.${var.project}.internal"
  airflow_host      = "airflow.${var.zones[0]}.c.${var.project}.internal"

  # Resource name of the lake's objects in IAM conditions.
  objects_of_lake = "projects/_/buckets/${google_storage_bucket.lake.name}/objects"

  dataset_object = "dataset/${var.name_dataset == "" ? "paysim.csv" : basename(var.name_dataset)}"

  # Settings of all clients of Kafka and the registry. The password is in the file kafka_sasl_password.
  client_environment = merge(var.settings, {
    FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS = local.bootstrap_servers
    FRAUDSTREAM_KAFKA_SECURITY_PROTOCOL = "SASL_SSL"
    FRAUDSTREAM_KAFKA_SASL_MECHANISM    = local.own_kafka ? "SCRAM-SHA-512" : "OAUTHBEARER"
    FRAUDSTREAM_KAFKA_TOKEN_SOURCE      = local.own_kafka ? "" : "google"
    # Google's managed brokers have certificates of a public authority.
    FRAUDSTREAM_KAFKA_SSL_CA_LOCATION = local.own_kafka ? "/run/secrets/kafka_ca.pem" : "/etc/ssl/certs/ca-certificates.crt"
    FRAUDSTREAM_SCHEMA_REGISTRY_URL   = "http://${local.registry_host}:8081/apis/ccompat/v7"
    FRAUDSTREAM_CONFIRMATION_URL      = "https://${var.domain}"
    FRAUDSTREAM_BANK_NAME             = var.bank_name
    FRAUDSTREAM_BANK_TEXTS            = replace(jsonencode(var.bank_texts), "'", "\\u0027") # boot.py's files quote with '
  })

  # The tables' catalog is BigLake (tables.tf); these variables configure pyiceberg.
  catalog_environment = {
    PYICEBERG_CATALOG__FRAUDSTREAM__TYPE                        = "rest"
    PYICEBERG_CATALOG__FRAUDSTREAM__URI                         = "https://biglake.googleapis.com/iceberg/v1/restcatalog"
    PYICEBERG_CATALOG__FRAUDSTREAM__WAREHOUSE                   = "gs://${google_biglake_iceberg_catalog.lake.name}"
    PYICEBERG_CATALOG__FRAUDSTREAM__AUTH__TYPE                  = "google"
    PYICEBERG_CATALOG__FRAUDSTREAM__HEADER__X_GOOG_USER_PROJECT = var.project
  }

  # Settings of all tasks, on every worker.
  task_environment = merge(local.client_environment, local.catalog_environment, {
    FRAUDSTREAM_LAKE_BUCKET              = google_storage_bucket.lake.name
    FRAUDSTREAM_DATASET                  = "gs://${google_storage_bucket.lake.name}/${local.dataset_object}"
    FRAUDSTREAM_MAIL_SENDER              = var.smtp.sender
    FRAUDSTREAM_CUSTOMER_DIRECTORY       = var.customer_directory
    FRAUDSTREAM_MAIL_ENVELOPE_SENDER     = var.bounces == null ? "" : var.bounces.envelope_sender
    FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE  = var.mail_recipient_template
    FRAUDSTREAM_MAIL_ALLOWED_RECIPIENTS  = join(",", var.mail_allowed_recipients)
    FRAUDSTREAM_ALERT_ADDRESS            = var.alert_email
    FRAUDSTREAM_COMPUTE_PROJECT          = var.project
    FRAUDSTREAM_COMPUTE_INSTANCES        = join(",", [for name, broker in local.brokers : "${broker.zone}/${name}"])
    FRAUDSTREAM_QUEUE_PRODUCER           = "producer"
    FRAUDSTREAM_QUEUE_CONSUMER_FRAUD     = "consumer_fraud"
    FRAUDSTREAM_QUEUE_CONSUMER_NON_FRAUD = "consumer_non_fraud"
    AIRFLOW_IMAGE                        = try(var.images.airflow, "")
    PROJECT                              = var.project
    AIRFLOW_API_URL                      = "http://${local.airflow_host}:8080"
    AIRFLOW_REMOTE_LOGGING               = "True"
    AIRFLOW_LOG_FOLDER                   = "gs://${google_storage_bucket.logs.name}/airflow"
    DATABASE_HOST                        = google_sql_database_instance.airflow.private_ip_address
    REDIS_HOST                           = google_redis_instance.celery.host
    REDIS_PORT                           = google_redis_instance.celery.port
    SMTP_HOST                            = var.smtp.host
    SMTP_PORT                            = var.smtp.port
    SMTP_STARTTLS                        = var.smtp.port == 465 ? "false" : "true" # port 465 uses TLS from the start
    SMTP_USER                            = var.smtp.user
    mail_bounce_keys                     = "" # default of the template; a secret of the same name takes precedence
  })

  # Arguments that the VMs of producer, consumer_fraud and consumer_non_fraud share.
  worker = {
    project      = var.project
    zone         = var.zones[0]
    machine_type = local.sized.worker
    spot         = !local.production
    subnetwork   = google_compute_subnetwork.main.id
    operators    = var.operators
    public_key   = local.public_key
    image        = local.image
    labels       = local.labels
    release      = "${google_storage_bucket.release.name}/${google_storage_bucket_object.release.name}"
    environment  = local.task_environment
    secrets      = local.task_secrets
  }

  # Secrets for the tasks' containers. boot.py also fills the templates of connections and database URLs with them.
  task_secrets = {
    airflow_secret_key    = google_secret_manager_secret.generated["airflow_secret_key"].id
    celery_password       = google_secret_manager_secret.generated["celery_password"].id
    customer_database_uri = google_secret_manager_secret.customer_database.id
    "kafka_ca.pem"        = google_secret_manager_secret.ca.id
    "redis_ca.pem"        = google_secret_manager_secret.redis_ca.id
    redis_password        = google_secret_manager_secret.redis.id
    smtp_password         = google_secret_manager_secret.smtp.id
  }
}
