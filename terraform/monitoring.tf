# What someone should be told about: the site is down, a consumer falls behind, dead letters, a failed DAG run, a
# disk that fills, a VM that doesn't come up.

locals {
  machines = merge(
    module.kafka,
    module.site,
    {
      registry           = module.registry
      producer           = module.producer
      consumer_fraud     = module.consumer_fraud
      consumer_non_fraud = module.consumer_non_fraud
      airflow            = module.airflow
    },
  )

  # Metrics by the Ops Agent of the registry's VM, which reads the exporter beside the Kafka UI.
  kafka_alerts = {
    "consumer lag" = {
      query    = "sum by (consumergroup, topic) (kafka_consumergroup_lag) > 50000"
      duration = "600s"
      text     = "A consumer group has been more than 50,000 records behind for ten minutes. Runbook: docs/deploy.md, consumer stuck."
    }
    "dead letters" = {
      query    = "sum by (topic) (increase(kafka_topic_partition_current_offset{topic=~\".*dead_letter\"}[10m])) > 0"
      duration = "0s"
      text     = "A record or a row couldn't be used and lies in a dead-letter topic. Runbook: docs/deploy.md, wrong data produced."
    }
    "replicas missing" = {
      query    = "sum(kafka_topic_partition_under_replicated_partition) > 0"
      duration = "300s"
      text     = "Partitions have had fewer than three replicas for five minutes. Runbook: docs/deploy.md, a broker lost."
    }
  }

  # Container logs reach Cloud Logging through Docker's gcplogs driver.
  log_alerts = {
    failed_dag_runs = {
      filter = "jsonPayload.message=~\"Marking run .* failed\""
      title  = "failed DAG run"
      text   = "Airflow marked a DAG run as failed; its tasks' logs say why. Runbooks: docs/deploy.md."
    }
    undelivered_notices = {
      filter = "jsonPayload.message=~\"fraud notice not delivered\""
      title  = "fraud notice not delivered"
      text   = "A customer doesn't know of a suspected fraud: the notice was refused, bounced, or held back by safe mode. The log line names the case; docs/mail.md says what each answer means, and how to send the notice anew."
    }
    boot_failed = {
      filter = "jsonPayload.message=~\"fraudstream (boot|startup) failed\""
      title  = "VM without its role"
      text   = "A VM started, but its containers didn't; it tries again every 30 seconds. `journalctl -u fraudstream-boot` on it says why."
    }
    answers_not_recorded = {
      filter = "jsonPayload.message=~\"(answer .* is not recorded|is recorded isn't known|answered 503):\""
      title  = "customers' answers aren't recorded"
      text   = "The confirmation site couldn't write an answer to Kafka or show a case; its log lines say why. Customers are asked to come back. Look at the brokers; /health/kafka of the site's VMs says whether they answer."
    }
    access_failed = {
      filter = "jsonPayload.message=~\"fraudstream access failed\""
      title  = "Kafka users without their rights"
      text   = "The container kafka-access of a broker's VM couldn't make a user or an ACL; its log line says which. Clients of that user are refused until it can."
    }
  }
}

resource "google_monitoring_notification_channel" "mail" {
  display_name = "fraudstream"
  type         = "email"
  labels       = { email_address = var.alert_email }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_uptime_check_config" "site" {
  display_name = "fraudstream confirmation site"
  timeout      = "10s"
  period       = "60s"

  # The site answers 404 to whatever isn't a link; the load balancer says 502 when no site answers.
  http_check {
    path         = "/"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    accepted_response_status_codes {
      status_value = 404
    }
  }

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project, host = var.domain }
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "site" {
  display_name          = "fraudstream: the confirmation site doesn't answer"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "uptime check fails"
    condition_threshold {
      filter          = "metric.type=\"monitoring.googleapis.com/uptime_check/check_passed\" AND resource.type=\"uptime_url\" AND metric.label.check_id=\"${google_monitoring_uptime_check_config.site.uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"
      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    content = "Customers can't answer; their cases wait until they can or their time is up. Look at the load balancer's backends, then at the site's VMs."
  }
}

resource "google_monitoring_alert_policy" "kafka" {
  for_each = local.kafka_alerts

  display_name          = "fraudstream: ${each.key}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = each.key
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # On the first apply no VM has sent any of these metrics yet, and Monitoring refuses names that it doesn't know.
      disable_metric_validation = true
    }
  }

  documentation {
    content = each.value.text
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "logs" {
  for_each = local.log_alerts

  display_name          = "fraudstream: ${each.value.title}"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = each.value.title
    # The lines themselves, not a metric of them: a policy on a metric that has no data yet is refused.
    condition_matched_log {
      filter = "resource.type=\"gce_instance\" AND ${each.value.filter}"
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = each.value.text
  }

  depends_on = [google_project_service.needed]
}

resource "google_monitoring_alert_policy" "disk" {
  display_name          = "fraudstream: a disk fills"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "more than 80 % used on one of our VMs"
    condition_threshold {
      filter = join(" AND ", [
        "metric.type=\"agent.googleapis.com/disk/percent_used\"",
        "metric.label.state=\"used\"",
        "NOT metric.label.device=starts_with(\"/dev/loop\")", # snaps are always full
        "resource.type=\"gce_instance\"",
        "resource.label.instance_id=one_of(${join(", ", [for machine in values(local.machines) : "\"${machine.instance_id}\""])})",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 80
      duration        = "300s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "Runbook: docs/deploy.md, disk full."
  }

  depends_on = [google_project_service.needed]
}
