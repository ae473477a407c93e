# Alert policies: for the site, for the lists in alerts.tf, for replaced VMs and for disks.

locals {
  machines = merge(
    module.kafka,
    module.site,
    { for machine in module.bounces : machine.name => machine },
    {
      registry           = module.registry
      producer           = module.producer
      consumer_fraud     = module.consumer_fraud
      consumer_non_fraud = module.consumer_non_fraud
      airflow            = module.airflow
    },
  )
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

  # The site answers 404 to a path that isn't a link. The load balancer answers 502 if no site answers.
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
    content = "Customers can't answer. Their cases wait until they answer or the time limit is reached. Look at the load balancer's backends, then at the site's VMs or its Cloud Run service."
  }
}

resource "google_monitoring_alert_policy" "metrics" {
  for_each = merge(local.pipeline_alerts, {
    for name, alert in local.metric_alerts : name => alert if local.own_kafka || !contains(local.exporter_alerts, name)
  })

  display_name          = "fraudstream: ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = each.key
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # At the first apply no VM has sent these metrics yet, and Monitoring would refuse unknown names.
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
    # A condition on the log lines, not on a log-based metric: a policy on a metric without data is refused.
    condition_matched_log {
      filter = join(" OR ", concat(
        ["(resource.type=\"gce_instance\" AND jsonPayload.message=~\"${each.value.line}\")"],
        local.run_site ? ["(resource.type=\"cloud_run_revision\" AND textPayload=~\"${each.value.line}\")"] : [],
      ))
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

resource "google_monitoring_alert_policy" "replaced" {
  display_name          = "fraudstream: a VM was replaced"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.mail.id]

  conditions {
    display_name = "a managed instance group replaced its VM"
    # Google's own actions on a VM are in the audit log.
    condition_matched_log {
      filter = join(" AND ", [
        "resource.type=\"gce_instance\"",
        "protoPayload.methodName=\"compute.instances.repair.recreateInstance\"",
        "protoPayload.resourceName=~\"/instances/(${join("|", local.vms)})$\"",
      ])
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = "A VM was deleted, preempted, broken or unhealthy, and its group recreated it; the log entry names the VM and the reason. Nothing needs to be done unless it happens repeatedly: see docs/deploy.md, VMs that are replaced."
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
        "NOT metric.label.device=starts_with(\"/dev/loop\")", # mounted snaps are always full
        "resource.type=\"gce_instance\"",
        "metadata.user_labels.system=\"${local.labels.system}\"", # not by instance_id, which a recreated VM changes
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
