# Google's Managed Service for Apache Kafka in place of brokers of our own, where `kafka` asks for it. Roles sign in with
# the token of their service account; what each may do is docker/kafka/acls, as with our own brokers.

locals {
  managed_bootstrap = "bootstrap.fraudstream.${var.region}.managedkafka.${var.project}.cloud.goog:9092"

  # The users of docker/kafka/acls → who they are to Google. A group can't sign in to Kafka, so operators are persons.
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

  # resource as the service names it → its entries
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

# Lets an account connect; the ACLs decide about the rest.
resource "google_project_iam_member" "managed_kafka" {
  for_each = local.own_kafka ? toset([]) : setsubtract(keys(local.roles), ["kafka"])

  project = var.project
  role    = "roles/managedkafka.client"
  member  = google_service_account.role[each.key].member
}
