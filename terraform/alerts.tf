# Definitions of the alerts, in three lists: the rules of include/alerts, other conditions on metrics (PromQL), and lines
# in logs. monitoring.tf creates an alert policy for each entry.

locals {
  # Alerts on the pipeline's metrics, which the API server reports and the Ops Agent on Airflow's VM scrapes
  # (docs/metrics.md).
  pipeline_rules = flatten([
    for group in yamldecode(file("${path.module}/../include/alerts/fraudstream.yaml")).groups : group.rules
  ])
  pipeline_alerts = {
    for rule in local.pipeline_rules : rule.alert => {
      query    = rule.expr
      duration = "${60 * tonumber(trimsuffix(try(rule.for, "0m"), "m"))}s" # Monitoring only accepts seconds
      severity = rule.labels.severity == "page" ? "CRITICAL" : "WARNING"
      text     = rule.annotations.description
    }
  }

  vms = [for machine in values(local.machines) : machine.name]

  # The lag of a group in a partition, minus the records that arrived in the last half hour. If it is above 0, the oldest
  # unread record is older than that. In topics with transactions the marker after the last record adds 1 to the lag.
  waiting = "kafka_consumergroup_lag%s - on (topic, partition) group_left increase(kafka_topic_partition_current_offset[30m])"

  # Alerts on metrics of the exporter, which only runs with brokers on VMs.
  exporter_alerts = ["consumer stuck", "dead letters", "replicas missing", "broker down", "no metrics of Kafka"]

  metric_alerts = {
    # The Ops Agent on the registry's VM scrapes the exporter there.
    "consumer stuck" = {
      query = join(" or ", [
        "max by (consumergroup, topic) (${format(local.waiting, "{topic=~\".*_transaction\"}")}) > 1",
        "max by (consumergroup, topic) (${format(local.waiting, "{topic!~\".*_transaction\"}")}) > 0",
      ])
      duration = "300s"
      severity = "WARNING"
      text     = "A record has waited for a consumer group for more than 30 minutes. Runbook: docs/deploy.md, consumer stuck."
    }
    "dead letters" = {
      query    = "sum by (topic) (increase(kafka_topic_partition_current_offset{topic=~\".*dead_letter\"}[10m])) > 0"
      duration = "0s"
      severity = "WARNING"
      text     = "A record or a row is invalid and was written to a dead-letter topic. Runbook: docs/deploy.md, wrong data produced."
    }
    "replicas missing" = {
      query    = "sum(kafka_topic_partition_under_replicated_partition) > 0"
      duration = "300s"
      severity = "WARNING"
      text     = "Partitions have had fewer than three replicas for five minutes. Runbook: docs/deploy.md, a broker lost."
    }
    "broker down" = {
      query    = "kafka_brokers < 3"
      duration = "300s"
      severity = "CRITICAL"
      text     = "Fewer than three brokers have answered for five minutes. This is expected after stop_kafka. Runbook: docs/deploy.md, a broker lost."
    }
    "no metrics of Kafka" = {
      query    = "absent(kafka_brokers)"
      duration = "600s"
      severity = "WARNING"
      text     = "The exporter on the registry's VM has sent nothing for ten minutes, so the alerts on consumers, dead letters and replicas do not work. Look at the container kafka-exporter and the Ops Agent."
    }
    "VM gone" = {
      query    = join(" or ", [for name in local.vms : "absent(compute_googleapis_com:instance_uptime{monitored_resource=\"gce_instance\",instance_name=\"${name}\"})"])
      duration = "900s"
      severity = "WARNING"
      text     = "A VM has not run for 15 minutes; the label instance_name names it. A broker is started by start_kafka. Any other VM can't be recreated by its group, for a spot VM usually because the zone has no capacity. `gcloud compute instance-groups managed list-errors` with the VM's name shows the reason."
    }
    "database down" = {
      query    = "cloudsql_googleapis_com:database_up{monitored_resource=\"cloudsql_database\",database_id=\"${var.project}:${var.database_instance}\"} < 1 or absent(cloudsql_googleapis_com:database_up{monitored_resource=\"cloudsql_database\",database_id=\"${var.project}:${var.database_instance}\"})"
      duration = "300s"
      severity = "CRITICAL"
      text     = "Cloud SQL does not run or sends no metrics. Airflow starts no task, and the registry registers no schema. Records wait in Kafka."
    }
    "database disk or memory" = {
      query    = "cloudsql_googleapis_com:database_disk_utilization{monitored_resource=\"cloudsql_database\",database_id=\"${var.project}:${var.database_instance}\"} > 0.85 or cloudsql_googleapis_com:database_memory_utilization{monitored_resource=\"cloudsql_database\",database_id=\"${var.project}:${var.database_instance}\"} > 0.95"
      duration = "900s"
      severity = "WARNING"
      text     = "Cloud SQL has little disk or memory left. The disk grows by itself up to Google's limit; for memory choose a larger tier in locals.tf."
    }
    "Redis full or gone" = {
      query    = "redis_googleapis_com:stats_memory_usage_ratio{monitored_resource=\"redis_instance\"} > 0.8 or absent(redis_googleapis_com:server_uptime{monitored_resource=\"redis_instance\"})"
      duration = "600s"
      severity = "CRITICAL"
      text     = "Celery's broker is almost full or does not answer. Running tasks go on, new ones do not start."
    }
    "site's certificate expires" = {
      query    = "min(monitoring_googleapis_com:uptime_check_time_until_ssl_cert_expires{monitored_resource=\"uptime_url\",check_id=\"${google_monitoring_uptime_check_config.site.uptime_check_id}\"}) < 14"
      duration = "3600s"
      severity = "ERROR"
      text     = "The certificate of the confirmation site expires in less than 14 days, and Google has not renewed it. Look at the domain's A and CAA records."
    }
  }

  # Regular expressions for lines in the containers' logs. Docker's gcplogs driver writes the logs of VMs; a site on Cloud
  # Run logs plain text.
  log_alerts = {
    failed_dag_runs = {
      line  = "Marking run .* failed"
      title = "failed DAG run"
      text  = "Airflow marked a DAG run as failed; its tasks' logs say why. Runbooks: docs/deploy.md."
    }
    undelivered_notices = {
      line  = "fraud notice not delivered"
      title = "fraud notice not delivered"
      text  = "A customer doesn't know of a suspected fraud: the notice was refused, bounced, or held back by safe mode. The log line names the case; docs/mail.md explains the status of a mail, and how to send the notice again."
    }
    boot_failed = {
      line  = "fraudstream (boot|startup) failed"
      title = "VM without its role"
      text  = "A VM started, but its containers didn't; it tries again every 30 seconds. `journalctl -u fraudstream-boot` on it says why."
    }
    answers_not_recorded = {
      line  = "(answer .* is not recorded|is recorded isn't known|answered 503):"
      title = "customers' answers aren't recorded"
      text  = "The confirmation site couldn't write an answer to Kafka or show a case; its log lines say why. Customers are asked to come back. Look at the brokers; /health/kafka of the site says whether they answer."
    }
    access_failed = {
      line  = "fraudstream access failed"
      title = "Kafka users without their rights"
      text  = "The container kafka-access of a broker's VM couldn't make a user or an ACL; its log line says which. Clients of that user are refused until it can."
    }
    container_unhealthy = {
      line  = "fraudstream container unhealthy"
      title = "a container is unhealthy"
      text  = "The health check of a container failed, such as the scheduler's, a triggerer's or a worker's, and the VM restarts it every minute until it passes. The log line names the container."
    }
    upkeep_failed = {
      line  = "fraudstream upkeep failed"
      title = "a VM can't keep itself up"
      text  = "A VM could not restart an unhealthy container, or a broker could not renew its certificate, which is valid for a year. The log line gives the reason. `sudo python3 /opt/fraudstream/docker/vm/upkeep.py renew` tries again."
    }
  }
}
