output "site_address" {
  description = "Address for the A record of domain. The certificate is issued within an hour after the record exists."
  value       = google_compute_global_address.site.address
}

output "confirmation_url" {
  description = "The confirmation site, as customers see it."
  value       = "https://${var.domain}"
}

output "airflow_page" {
  description = "Command that opens a tunnel to Airflow, at http://localhost:8080."
  value       = "gcloud compute start-iap-tunnel airflow 8080 --local-host-port=localhost:8080 --zone=${module.airflow.zone} --project=${var.project}"
}

output "airflow_password" {
  description = "Command that prints the password of Airflow's user admin; null with airflow_login."
  value       = local.own_logins ? null : "gcloud secrets versions access latest --secret=fraudstream-airflow-admin-password --project=${var.project}"
}

output "kafka_ui_page" {
  description = "Command that opens a tunnel to the Kafka UI, at http://localhost:9080: user admin, password in the secret fraudstream-kafka-ui-password."
  value       = "gcloud compute start-iap-tunnel registry 9080 --local-host-port=localhost:9080 --zone=${module.registry.zone} --project=${var.project}"
}

output "image_registry" {
  description = "Registry to which docker/publish.sh pushes the images."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "bounces_route" {
  description = "Route for the return addresses in the bank's mail server (Postfix: transport_maps, smtp:[…]:10025); null without `bounces`."
  value       = one([for machine in module.bounces : "smtp:[${machine.address}]:10025"])
}

output "ssh" {
  description = "Commands that log in to each VM through Identity-Aware Proxy, by VM."
  value = {
    for machine in values(local.machines) : machine.name => join(" ", compact([
      "gcloud compute ssh ${var.public_key_vm == "" ? "" : "fraudstream@"}${machine.name} --tunnel-through-iap",
      "--zone=${machine.zone} --project=${var.project}",
      var.private_key_vm == "" ? "" : "--ssh-key-file=${var.private_key_vm}",
    ]))
  }
}

output "upload_dataset" {
  description = "Command that uploads PaySim's CSV, if name_dataset is empty."
  value       = "gcloud storage cp PS_20174392719_1491204439457_log.csv gs://${google_storage_bucket.lake.name}/${local.dataset_object}"
}

output "lake_bucket" {
  description = "Setting FRAUDSTREAM_LAKE_BUCKET."
  value       = google_storage_bucket.lake.name
}

output "bootstrap_servers" {
  description = "Setting FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS; reachable inside the network, with TLS and SCRAM."
  value       = local.bootstrap_servers
}

output "compute_project" {
  description = "Setting FRAUDSTREAM_COMPUTE_PROJECT: the project of the instances that start_kafka and stop_kafka manage."
  value       = var.project
}

output "compute_instances" {
  description = "Setting FRAUDSTREAM_COMPUTE_INSTANCES: the instances that start_kafka starts and stop_kafka stops."
  value       = local.task_environment.FRAUDSTREAM_COMPUTE_INSTANCES
}
