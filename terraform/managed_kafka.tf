# Google's Managed Service for Apache Kafka instead of brokers on VMs, if `kafka` is managed. Roles log in with the token
# of their service account. Their rights are those of docker/kafka/acls, as with brokers on VMs.

locals {
  managed_bootstrap = "bootstrap.fraudstream.${var.region}.managedkafka.${var.project}.cloud.goog:9092"

  # user of docker/kafka/acls → e-mail addresses of its Google accounts. A group can't log in to Kafka, so only persons
  # among the operators get the operator's rights.
  kafka_principals = merge(
    { for user in local.kafka_users : user => [google_service_account.role[replace(user, "_", "-")].email] if !contains(["monitor", "operator"], user) },
    {
      monitor  = [google_service_account.role["registry"].email]
      operator = [for member in var.operators : trimprefix(member, "user:") if startswith(member, "user:")]
    },
  )

  acl_lines = [
    for line in split("\n", file("${path.module}/../docker/kafka/acls")) : regexall("\\S+", line)
    if line != "" && !startswith(line, "#")
  ]
  acl_all  = { topic = "allTopics", group = "allConsumerGroups", transactional-id = "allTransactionalIds" }
  acl_kind = { topic = "topic", group = "consumerGroup", transactional-id = "transactionalId" }

  # id of the resource in the managed service → its ACL entries
  managed_acls = {
    for entry in flatten([
      for line in local.acl_lines : [
        for pair in setproduct(local.kafka_principals[line[0]], split(",", line[1])) : {
          id = (
            line[2] == "cluster" ? "cluster"
            : line[3] == "*" ? local.acl_all[line[2]]
            : "${local.acl_kind[line[2]]}${line[4] == "prefixed" ? "Prefixed" : ""}/${line[3]}"
          )
          principal = "User:${pair[0]}"
          operation = pair[1] == "DescribeConfigs" ? "DESCRIBE_CONFIGS" : upper(pair[1])
        }
      ]
    ]) : entry.id => entry...
  }
}

resource "google_managed_kafka_cluster" "main" {
  count = local.own_kafka ? 0 : 1

  cluster_id = "fraudstream"
  location   = var.region
  labels     = local.labels

  capacity_config {
    vcpu_count   = local.production ? 6 : 3
    memory_bytes = (local.production ? 24 : 6) * 1073741824
  }

  gcp_config {
    access_config {
      network_configs {
        subnet = google_compute_subnetwork.main.id
      }
    }
  }

  rebalance_config {
    mode = "AUTO_REBALANCE_ON_SCALE_UP"
  }

  lifecycle {
    prevent_destroy = true # the log is the source of truth
  }

  depends_on = [google_project_service.needed]
}

resource "google_managed_kafka_acl" "roles" {
  for_each = local.own_kafka ? {} : local.managed_acls

  cluster  = google_managed_kafka_cluster.main[0].cluster_id
  location = var.region
  acl_id   = each.key

  dynamic "acl_entries" {
    for_each = each.value
    content {
      principal       = acl_entries.value.principal
      permission_type = "ALLOW"
      operation       = acl_entries.value.operation
      host            = "*"
    }
  }
}

# Lets the roles' accounts connect; ACLs decide what each may do.
resource "google_project_iam_member" "managed_kafka" {
  for_each = local.own_kafka ? toset([]) : setsubtract(keys(local.roles), ["kafka"])

  project = var.project
  role    = "roles/managedkafka.client"
  member  = google_service_account.role[each.key].member
}
