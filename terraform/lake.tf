# The data lake's bucket, with the input dataset, the JSON, and the files of the tables (tables.tf).

resource "google_storage_bucket" "lake" {
  name                        = local.lake_name
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !local.production
  labels                      = local.labels

  # Objects that compaction replaces or users delete can be recovered: for 7 days by soft delete, for 30 by versions.
  versioning {
    enabled = true
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      with_state                 = "ARCHIVED"
      days_since_noncurrent_time = 30
    }
  }

  # A progress object is overwritten up to twice a minute. Its old versions have no use after a day.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      with_state                 = "ARCHIVED"
      matches_prefix             = ["_progress/"]
      days_since_noncurrent_time = 1
    }
  }

  # Files of a Spark job are here while it runs. Those of an abandoned job stay and are deleted after two weeks.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      matches_prefix = ["_spark/"]
      age            = 14
    }
  }

  # Data files of tables are read rarely after 90 days, and not rewritten: small files are merged when their day is closed.
  # The tables' metadata keep their class, because each query reads them. JSON is already compacted at that age.
  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
    condition {
      age                   = 90
      matches_prefix        = [for table in local.tables : "${local.namespace}/${table}/data/"]
      matches_storage_class = ["STANDARD"]
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }

  logging {
    log_bucket        = google_storage_bucket.logs.name
    log_object_prefix = "lake"
  }

  depends_on = [google_project_service.needed]
}

resource "google_storage_bucket" "logs" {
  # checkov:skip=CKV_GCP_62:This is where access logs go; a bucket doesn't log to itself.
  # checkov:skip=CKV_GCP_78:Log files are written once and deleted after 30 days; there are no versions to keep.
  name                        = "${var.project}-fraudstream-logs"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !local.production
  labels                      = local.labels

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = 30
    }
  }

  depends_on = [google_project_service.needed]
}

# Google's group for the delivery of access logs.
resource "google_storage_bucket_iam_member" "access_logs" {
  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.objectCreator"
  member = "group:cloud-storage-analytics@google.com"
}

resource "google_storage_bucket_object" "dataset" {
  count = var.name_dataset == "" ? 0 : 1

  name   = local.dataset_object
  bucket = google_storage_bucket.lake.name
  source = pathexpand(var.name_dataset)
}

# The producer reads only the dataset.
resource "google_storage_bucket_iam_member" "producer" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.role["producer"].member

  condition {
    title      = "dataset"
    expression = "resource.name.startsWith(\"${local.objects_of_lake}/dataset/\")"
  }
}

# The roles that send mails read the customers' table, if it is in the lake's bucket.
resource "google_storage_bucket_iam_member" "customers" {
  for_each = toset(["consumer-fraud", "consumer-non-fraud"])

  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.role[each.key].member

  condition {
    title      = "customers"
    expression = "resource.name.startsWith(\"${local.objects_of_lake}/customers/\")"
  }
}

locals {
  # Each consumer writes its own folders and its progress in them.
  consumer_folders = {
    consumer-fraud     = ["fraud_confirmation", "email_confirmation", "case_event", "_cases"]
    consumer-non-fraud = ["transaction", "email_confirmation"]
  }
  consumer_grants = merge([
    for role, folders in local.consumer_folders : {
      for folder in folders : "${role} ${folder}" => {
        role     = role
        folder   = folder
        prefixes = ["${folder}/", "_progress/${folder}/"]
      }
    }
  ]...)
}

# One grant for each folder, because a condition can have at most twelve logical operators.
resource "google_storage_bucket_iam_member" "consumer" {
  for_each = local.consumer_grants

  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.role[each.value.role].member

  condition {
    title = each.value.folder
    expression = join(" || ", flatten([
      for prefix in each.value.prefixes : [
        "resource.name.startsWith(\"${local.objects_of_lake}/${prefix}\")",
        # A list request is checked against the bucket, so its prefix must be compared.
        "api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"${prefix}\")",
      ]
    ]))
  }
}

# compact_lake and audit_lake list, read, replace and delete objects in the whole lake.
resource "google_storage_bucket_iam_member" "airflow" {
  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = google_service_account.role["airflow"].member
}

# Airflow's task logs: workers write them, the API server reads them.
resource "google_storage_bucket_iam_member" "task_logs" {
  for_each = toset(["airflow", "producer", "consumer-fraud", "consumer-non-fraud"])

  bucket = google_storage_bucket.logs.name
  role   = "roles/storage.objectUser"
  member = google_service_account.role[each.key].member

  condition {
    title = "task logs"
    expression = join(" || ", [
      "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.logs.name}/objects/airflow/\")",
      "api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"airflow/\")",
    ])
  }
}
