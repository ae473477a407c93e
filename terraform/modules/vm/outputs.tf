output "name" {
  description = "Name of the VM."
  value       = google_compute_instance.vm.name
}

output "zone" {
  description = "Zone of the VM."
  value       = google_compute_instance.vm.zone
}

output "self_link" {
  description = "Address of the VM in the Compute API."
  value       = google_compute_instance.vm.self_link
}

output "instance_id" {
  description = "Number that logs and metrics know the VM by."
  value       = google_compute_instance.vm.instance_id
}

output "address" {
  description = "Private address."
  value       = google_compute_address.private.address
}
