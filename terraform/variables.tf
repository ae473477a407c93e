# The seed's five variables come first and keep their names. terraform.tfvars.example has an example.

variable "credentials_project" {
  description = "Path of a service account's key file (JSON) for Terraform itself. Leave it empty and use `gcloud auth application-default login` instead, so that no key file is needed. The VMs never get the key: each runs as its role's service account."
  type        = string
  default     = ""

  validation {
    condition     = var.credentials_project == "" ? true : fileexists(pathexpand(var.credentials_project))
    error_message = "credentials_project names a file that doesn't exist; leave it empty to use `gcloud auth application-default login`."
  }
}

variable "public_key_vm" {
  description = "Path of an SSH public key (.pub) for the user fraudstream on every VM. Leave it empty to use OS Login through Identity-Aware Proxy (`gcloud compute ssh NAME --tunnel-through-iap`) for the members in operators. A key turns OS Login off; port 22 stays reachable only through Identity-Aware Proxy."
  type        = string
  default     = ""

  validation {
    condition     = var.public_key_vm == "" ? true : endswith(var.public_key_vm, ".pub") && fileexists(pathexpand(var.public_key_vm))
    error_message = "public_key_vm must be the path of an existing .pub file; leave it empty to use OS Login."
  }
}

variable "private_key_vm" {
  description = "Path of the private key that belongs to public_key_vm. Terraform doesn't read it; the output ssh contains it in the login command. Leave it empty with OS Login."
  type        = string
  default     = ""

  validation {
    condition     = var.private_key_vm == "" || !endswith(var.private_key_vm, ".pub")
    error_message = "private_key_vm is the private key: the file without .pub."
  }
}

variable "project" {
  description = "Google Cloud project id."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project id: 6 to 30 lower-case letters, digits and hyphens, starting with a letter."
  }
}

variable "name_dataset" {
  description = "Path of the PaySim CSV on this machine; it is uploaded to dataset/ in the lake's bucket. Empty: upload it yourself with the command in the output upload_dataset."
  type        = string
  default     = ""

  validation {
    condition     = var.name_dataset == "" ? true : fileexists(pathexpand(var.name_dataset))
    error_message = "name_dataset names a file that doesn't exist; download PaySim first or leave it empty."
  }
}

variable "size" {
  description = "trial: small, partly preemptible machines, one zone for the database, no deletion protection. production: sized machines, regional database and Redis, deletion protection."
  type        = string
  default     = "trial"

  validation {
    condition     = contains(["trial", "production"], var.size)
    error_message = "size must be trial or production."
  }
}

variable "kafka" {
  description = "vms: three brokers on their own VMs, with SCRAM users. managed: Google's Managed Service for Apache Kafka, where each role logs in with the token of its service account. Choose before the first apply: records aren't moved from one to the other."
  type        = string
  default     = "vms"

  validation {
    condition     = contains(["vms", "managed"], var.kafka)
    error_message = "kafka must be vms or managed."
  }
}

variable "site" {
  description = "vms: the confirmation site on its own VMs. cloud_run: on Cloud Run. Both are behind the same load balancer. Choose before the first apply."
  type        = string
  default     = "vms"

  validation {
    condition     = contains(["vms", "cloud_run"], var.site)
    error_message = "site must be vms or cloud_run."
  }
}

variable "kafka_disk" {
  description = "Data disk of each broker. A disk can grow in place, but another type would need a new, empty disk: choose the type before the first apply (pd-ssd for production). size doesn't change it. suffix: end of the disks' names; change it for restored disks (docs/deploy.md)."
  type = object({
    gb     = optional(number, 50)
    type   = optional(string, "pd-balanced")
    suffix = optional(string, "")
  })
  default = {}

  validation {
    condition     = contains(["pd-balanced", "pd-ssd", "pd-standard"], var.kafka_disk.type) && var.kafka_disk.gb >= 10
    error_message = "kafka_disk.type must be pd-balanced, pd-ssd or pd-standard, and kafka_disk.gb at least 10."
  }
}

variable "database_instance" {
  description = "Name of the Cloud SQL instance. A restored clone needs another name (docs/deploy.md), because Google reserves a deleted instance's name for a week."
  type        = string
  default     = "fraudstream"
}

variable "settings" {
  description = "Further settings of fraudstream by variable (docs/settings.md), such as { FRAUDSTREAM_MAIL_PER_SECOND = \"20\" }, for the tasks' VMs and the site. They must not be secret, because they are stored in the VMs' metadata."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^FRAUDSTREAM_[A-Z_]+$", name)) && !can(regex("PASSWORD|_KEYS?$|SECRET", name))])
    error_message = "settings must be named FRAUDSTREAM_…, and hold no password or key."
  }

  validation {
    condition     = alltrue([for value in values(var.settings) : can(regex("^[^'\n]*$", value)) && !endswith(value, "\\")])
    error_message = "settings must be single lines without ' that do not end with a backslash: the VMs pass them on in files that quote with '."
  }
}

variable "images" {
  description = "The images by digest, as docker/publish.sh prints them. Without them only the repository can be created: terraform apply -target=google_artifact_registry_repository.images"
  type = object({
    airflow = string
    site    = string
  })
  default = null

  validation {
    condition     = var.images == null ? true : alltrue([for image in values(var.images) : can(regex("^[a-z0-9.-]+-docker\\.pkg\\.dev/[a-z0-9./_-]+@sha256:[0-9a-f]{64}$", image))])
    error_message = "images must be images of Artifact Registry with a digest, such as us-central1-docker.pkg.dev/my-project/fraudstream/site@sha256:…; docker/publish.sh prints them."
  }
}

variable "region" {
  description = "Region of all resources."
  type        = string
  default     = "us-central1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a Google Cloud region such as us-central1."
  }
}

variable "zones" {
  description = "Three zones of the region, one for each broker."
  type        = list(string)
  default     = ["us-central1-a", "us-central1-b", "us-central1-c"]

  validation {
    condition     = length(distinct(var.zones)) == 3 && alltrue([for zone in var.zones : startswith(zone, "${var.region}-")])
    error_message = "zones must be three different zones of the region."
  }
}

variable "domain" {
  description = "Host name of the confirmation site, which customers see in their mails; point its A record at the output site_address."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "domain must be a host name such as confirm.example.com, without https://."
  }
}

variable "operators" {
  description = "IAM members (user:…, group:…) who may log in to the VMs and open tunnels to the Airflow and Kafka pages through Identity-Aware Proxy."
  type        = list(string)

  validation {
    condition     = alltrue([for member in var.operators : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", member))])
    error_message = "operators must be IAM members such as user:me@example.com or group:team@example.com."
  }
}

variable "alert_email" {
  description = "E-mail address that receives the alerts."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alert_email))
    error_message = "alert_email must be an e-mail address."
  }
}

variable "airflow_login" {
  description = "Users who may log in to Airflow with their Google accounts. client_id: id of the OAuth client that you create by hand (docs/deploy.md); its secret is TF_VAR_airflow_login_secret. users: address → role in Airflow (Admin, Op, User, Viewer), or Clerk, a Viewer who may use the page Cases. null, for a trial only: one user admin with a generated password."
  type = object({
    client_id = string
    users     = map(string)
  })
  default = null

  validation {
    condition     = var.size == "trial" || var.airflow_login != null
    error_message = "airflow_login must be set for size = production: people do not share a login there."
  }

  validation {
    condition     = var.airflow_login == null ? true : endswith(var.airflow_login.client_id, ".apps.googleusercontent.com")
    error_message = "airflow_login.client_id must be the id of an OAuth client at Google, which ends with .apps.googleusercontent.com."
  }

  validation {
    condition     = var.airflow_login == null ? true : alltrue([for address, role in var.airflow_login.users : can(regex("^[a-z0-9._+-]+@[a-z0-9.-]+$", address)) && contains(["Admin", "Op", "User", "Viewer", "Clerk"], role)])
    error_message = "airflow_login.users must be addresses in lower case → Admin, Op, User, Viewer or Clerk; a group cannot log in."
  }

  validation {
    condition     = var.airflow_login == null ? true : contains(values(var.airflow_login.users), "Admin")
    error_message = "airflow_login.users must have an Admin."
  }
}

variable "airflow_login_secret" {
  description = "Secret of the OAuth client in airflow_login, given as TF_VAR_airflow_login_secret. It is stored only in Secret Manager, and written only when secrets_version.login changes."
  type        = string
  default     = "not-given"
  sensitive   = true
  ephemeral   = true
}

variable "desk_users" {
  description = "Names of the Airflow users who may decide cases at the page Cases; with airflow_login the names are addresses."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for user in var.desk_users : can(regex("^[A-Za-z0-9@._+-]+$", user))])
    error_message = "desk_users must be user names of letters, digits and @._+-."
  }
}

variable "bank_name" {
  description = "The bank's name, on every page of the confirmation site and in every mail."
  type        = string

  validation {
    condition     = can(regex("^[^'\\\\\n]+$", var.bank_name))
    error_message = "bank_name must be one line without ' and backslash; a typographic apostrophe is fine."
  }
}

variable "bank_texts" {
  description = "The bank's own sentences instead of those in include/templates/texts.toml: language → name → sentence, such as {en = {call = \"If you are unsure, call 0800 123 456.\"}}."
  type        = map(map(string))
  default     = {}
}

variable "smtp" {
  description = "Mail provider: host, port (465 or 587; Google Cloud blocks 25), user, and the From of every mail."
  type = object({
    host   = string
    port   = number
    user   = string
    sender = string
  })

  validation {
    condition     = contains([465, 587, 2525], var.smtp.port)
    error_message = "smtp.port must be 465 (TLS), 587 or 2525 (STARTTLS); Google Cloud lets no connection to port 25 out."
  }

  validation {
    condition     = can(regex("^[A-Za-z0-9._~+-]+(@[A-Za-z0-9.-]+)?$", var.smtp.user))
    error_message = "smtp.user must be a user name or address without spaces, slashes or colons."
  }

  validation {
    condition     = can(regex("^[^'\\\\\n]*[^ @<>'\\\\\n]+@[^ @<>'\\\\\n]+>?$", var.smtp.sender))
    error_message = "smtp.sender must be an address, or a name and an address in <>, on one line without ' and backslash; a typographic apostrophe is fine."
  }
}

variable "smtp_password" {
  description = "Password at the mail provider, given as TF_VAR_smtp_password. It is stored only in Secret Manager, and written only when secrets_version.smtp changes, so later runs can omit it."
  type        = string
  default     = "not-given"
  sensitive   = true
  ephemeral   = true
}

variable "customer_directory" {
  description = "Table of the customers: gs://bucket/object of a CSV or Parquet file, such as customers/customers.parquet in the lake's bucket, or postgres:table. Empty: the addresses come from mail_recipient_template."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(gs://[^ '\\\\\n]+/[^ '\\\\\n]+|postgres:[A-Za-z0-9_$.]+)?$", var.customer_directory))
    error_message = "customer_directory must be gs://bucket/object, postgres:table or empty."
  }
}

variable "customer_database_uri" {
  description = "Database of a customer_directory postgres:table, postgresql://user:password@host/database, given as TF_VAR_customer_database_uri. It is stored only in Secret Manager, and written only when secrets_version.customer_database changes."
  type        = string
  default     = "not-given"
  sensitive   = true
  ephemeral   = true
}

variable "bounces" {
  description = "Receiver of returned mails. envelope_sender: base of the return addresses, such as bounces@example.com, whose MX record is your mail server. relays: address ranges, inside the network or peered with it, from which that server and a webhook proxy connect. null: no receiver; returned mails go to smtp.sender."
  type = object({
    envelope_sender = string
    relays          = list(string)
  })
  default = null

  validation {
    condition     = var.bounces == null ? true : can(regex("^[a-z0-9._-]{1,9}@([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.bounces.envelope_sender))
    error_message = "bounces.envelope_sender must be an address in lower case with at most nine characters before the @, because the key of each mail is appended there."
  }

  validation {
    condition     = var.bounces == null ? true : length(var.bounces.relays) > 0 && alltrue([for range in var.bounces.relays : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "bounces.relays must be address ranges such as 10.20.0.0/24, not the whole internet."
  }
}

variable "mail_recipient_template" {
  description = "Template of a customer's address, filled with columns of the transaction, if there is no customer_directory."
  type        = string
  default     = "{nameOrig}@example.com"

  validation {
    condition     = can(regex("^[^ @'\\\\\n]+@[^ @'\\\\\n]+$", var.mail_recipient_template))
    error_message = "mail_recipient_template must be an address without spaces, ' and backslash, such as {nameOrig}@example.com."
  }
}

variable "mail_allowed_recipients" {
  description = "Patterns of the recipients to whom mails are sent (safe mode). [\"*\"] allows every recipient."
  type        = list(string)
  default     = ["*@example.com"]

  validation {
    condition     = length(var.mail_allowed_recipients) > 0
    error_message = "mail_allowed_recipients must name at least one pattern, or no mail is sent at all."
  }

  validation {
    condition     = alltrue([for pattern in var.mail_allowed_recipients : can(regex("^[^ ,'\\\\\n]+$", pattern))])
    error_message = "mail_allowed_recipients must be patterns without spaces, commas, ' and backslash, one in each entry."
  }
}

variable "analysts" {
  description = "IAM members (user:…, group:…) who may query the lake's tables in BigQuery (docs/lake.md). They see all columns, including customers' account names."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.analysts : can(regex("^(user|group|serviceAccount):[^@ ]+@[^@ ]+$", member))])
    error_message = "analysts must be IAM members such as user:me@example.com or group:team@example.com."
  }
}

variable "lake_spark_mib" {
  description = "Size of a day's gzipped JSON in one folder, in MiB, from which compact_lake uses Spark (Dataproc Serverless); 0: never automatically."
  type        = number
  default     = 0

  validation {
    condition     = var.lake_spark_mib >= 0 && floor(var.lake_spark_mib) == var.lake_spark_mib
    error_message = "lake_spark_mib must be a whole number of MiB, or 0."
  }
}

variable "secrets_version" {
  description = "Raise a number to let the next apply generate the secrets of that group anew, then reboot the VMs that read them (docs/deploy.md)."
  type = object({
    airflow           = optional(number, 1)
    bounces           = optional(number, 1)
    confirmation      = optional(number, 1)
    customer_database = optional(number, 1)
    database          = optional(number, 1)
    kafka             = optional(number, 1)
    login             = optional(number, 1)
    smtp              = optional(number, 1)
  })
  default = {}
}
